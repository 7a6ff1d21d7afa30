"""Who learns: plain torch modules written for one network, and closed-form learners with the same call."""

from phasescope.learners.context_energy import ContextEnergy
from phasescope.learners.deep import DeepMLP, OneLayerTransformer
from phasescope.learners.dropout import KeyedDropout
from phasescope.learners.experts import ExpertsNetwork
from phasescope.learners.power import ExactMLP, PowerMLP
from phasescope.learners.signal import SignalNetwork

__all__ = [
    "ContextEnergy",
    "DeepMLP",
    "ExactMLP",
    "ExpertsNetwork",
    "KeyedDropout",
    "OneLayerTransformer",
    "PowerMLP",
    "SignalNetwork",
]
