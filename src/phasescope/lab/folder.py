"""Takes what a run left from its folder, without training anything."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from phasescope.checks import BadInput, kind, optional
from phasescope.lab.bench import Results
from phasescope.lab.kept import refuse_unfinished
from phasescope.lab.maps.results import MapResults
from phasescope.lab.registry import study_named, study_points
from phasescope.lab.settings import folder_of, settings_of
from phasescope.lab.study import Study, split
from phasescope.store import Store
from phasescope.verdict import Verdicts


def load(directory: str | Path, *, study: Study | None = None) -> Results | MapResults | xr.Dataset:
    """Return the results kept in a folder: those of a study's run, of a phase map, or the dataset of ``ps.train``.

    ``study``: the study that was run, where it is one of your own that is not installed. Raises ``BadInput`` when there
    are no results, when they are of another study, and when their study is not known.
    """
    optional(kind(Study, say="a ps.Study"))("study", study)
    home = folder_of("directory", directory)
    with Store(home, read_only=True) as store:
        refuse_unfinished(store)
        data, verdicts, facts = store.load_results()
    if "run" in facts:
        return data
    home, name = home.resolve(), facts["study"]
    if study is not None and study.name != name:
        raise BadInput(f"{home} holds results of the study {name!r}, not of {study.name!r}: give that one.")
    if "map" in facts:
        return MapResults(data, facts, home, study or (_installed(name, home) if name else None))
    chosen = study or _installed(name, home)
    settings = settings_of(chosen, facts["scale"], facts["settings"])
    return Results(chosen, settings, split(data), Verdicts.from_json(verdicts), facts, home)


def results_in(directory: str | Path) -> Results | MapResults:
    """Return the results of a study's run or of a phase map. Raises ``BadInput`` also for data of one's own."""
    found = load(directory)
    if isinstance(found, xr.Dataset):
        raise BadInput(f"{directory} holds networks of your own, which have no page: ps.load returns their data.")
    return found


def _installed(name: str, home: Path) -> Study:
    if name not in study_points():
        raise BadInput(
            f"{home} holds results of the study {name!r}, which is not installed: install it, or give the study "
            "itself, ps.load(directory, study=...)."
        )
    return study_named(name)
