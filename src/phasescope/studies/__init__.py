"""One module per paper: settings, experiments, claims, figures. Each reads like the paper's method section.

To add one, copy ``grokking.py``, name it in ``pyproject.toml`` under ``phasescope.studies``, and run it.
"""

from phasescope.studies._lab import Results, Stage, judge, run
from phasescope.studies._load import load
from phasescope.studies._map import phase_map
from phasescope.studies._map_results import MapResults
from phasescope.studies._registry import study_named, study_points
from phasescope.studies._settings import settings_of
from phasescope.studies._study import Experiment, OrderParameter, Paper, Study, part

__all__ = [
    "Experiment",
    "MapResults",
    "OrderParameter",
    "Paper",
    "Results",
    "Stage",
    "Study",
    "judge",
    "load",
    "part",
    "phase_map",
    "run",
    "settings_of",
    "study_named",
    "study_points",
]
