"""Takes what a run left from its folder, without training anything."""

from __future__ import annotations

from pathlib import Path

from phasescope.lab.bench import Results
from phasescope.lab.maps.results import MapResults
from phasescope.lab.registry import study_named
from phasescope.lab.settings import folder_of, settings_of
from phasescope.lab.study import split
from phasescope.store import Store
from phasescope.verdict import Verdicts


def load(directory: str | Path) -> Results | MapResults:
    """Return the results kept in the folder of a run or of a phase map. Raises ``BadInput`` when there are none."""
    home = folder_of("directory", directory)
    with Store(home, read_only=True) as store:
        data, verdicts, facts = store.load_results()
    home = home.resolve()
    if "map" in facts:
        return MapResults(data, facts, home)
    chosen = study_named(facts["study"])
    settings = settings_of(chosen, facts["scale"], facts["settings"])
    return Results(chosen, settings, split(data), Verdicts.from_json(verdicts), facts, home)
