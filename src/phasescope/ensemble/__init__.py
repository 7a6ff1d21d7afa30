"""How networks learn: whole grids of them in one run, with streams, per-member optimizers, fates and checkpoints."""

from phasescope.ensemble.diagnosis import Diagnosis, diagnosis
from phasescope.ensemble.feedback import Feedback, feedback_loop
from phasescope.ensemble.measure import measure
from phasescope.ensemble.refine import Refinement
from phasescope.ensemble.results import final, last
from phasescope.ensemble.run import Progress
from phasescope.ensemble.simulate import Quantity, Simulation, simulate
from phasescope.ensemble.span import Span
from phasescope.ensemble.stages import stages
from phasescope.ensemble.streams import drawing, streams
from phasescope.ensemble.train import device_named, train

__all__ = [
    "Diagnosis",
    "Feedback",
    "Progress",
    "Quantity",
    "Refinement",
    "Simulation",
    "Span",
    "device_named",
    "diagnosis",
    "drawing",
    "feedback_loop",
    "final",
    "last",
    "measure",
    "simulate",
    "stages",
    "streams",
    "train",
]
