"""Finds studies, ours and other people's, through the entry point group ``phasescope.studies``."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from phasescope.errors import shown
from phasescope.lab.study import Study
from phasescope.vocabulary import BadInput, nearest

GROUP = "phasescope.studies"


def study_points() -> dict[str, EntryPoint]:
    """Return the installed studies' entry points by name; nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def list_studies() -> dict[str, Study]:
    """Return the installed studies by name, ours and other people's."""
    return {name: study_named(name) for name in study_points()}


def study_named(name: str) -> Study:
    """Return the study called ``name``; raise ``BadInput`` with the nearest name when there is none."""
    points = study_points()
    if not isinstance(name, str):
        raise BadInput(f"the study is {shown(name)}: give its name, such as 'grokking', or a Study.")
    if name not in points:
        raise BadInput(f"there is no study {name!r}{nearest(name, points, 'phasescope list names them')}")
    found: Study = points[name].load()
    return found


def study_of(study: str | Study) -> Study:
    """Return the study itself, given it or its name. Raises ``BadInput``."""
    return study if isinstance(study, Study) else study_named(study)
