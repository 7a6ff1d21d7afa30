"""Who learns: plain torch modules written for one network, and closed-form learners with the same call."""

from phasescope.learners.context_energy import ContextEnergy
from phasescope.learners.decoder import Decoder
from phasescope.learners.deep import DeepMLP, OneLayerTransformer
from phasescope.learners.dropout import KeyedDropout
from phasescope.learners.experts import ExpertsNetwork
from phasescope.learners.in_context import DiscreteMMSE, ModularRegression, PoolBayes, RatioMatcher, Ridge
from phasescope.learners.linear import DeepLinear
from phasescope.learners.mixer import MLPMixer
from phasescope.learners.power import ExactMLP, PowerMLP
from phasescope.learners.residual_conv import ResidualConv
from phasescope.learners.resmlp import ResMLP
from phasescope.learners.signal import SignalNetwork
from phasescope.learners.signal_transformer import SignalTransformer
from phasescope.learners.vgg import VGG

__all__ = [
    "VGG",
    "ContextEnergy",
    "Decoder",
    "DeepLinear",
    "DeepMLP",
    "DiscreteMMSE",
    "ExactMLP",
    "ExpertsNetwork",
    "KeyedDropout",
    "MLPMixer",
    "ModularRegression",
    "OneLayerTransformer",
    "PoolBayes",
    "PowerMLP",
    "RatioMatcher",
    "ResMLP",
    "ResidualConv",
    "Ridge",
    "SignalNetwork",
    "SignalTransformer",
]
