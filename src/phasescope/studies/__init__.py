"""One module per paper: settings, experiments, claims, figures. Each reads like the paper's method section.

To add one, copy ``grokking.py``, name it in ``pyproject.toml`` under ``phasescope.studies``, and run it.
"""

from phasescope.studies._lab import Results, Stage, load, run, settings_of
from phasescope.studies._registry import study_named, study_points
from phasescope.studies._study import Experiment, Paper, Study, part

__all__ = [
    "Experiment",
    "Paper",
    "Results",
    "Stage",
    "Study",
    "load",
    "part",
    "run",
    "settings_of",
    "study_named",
    "study_points",
]
