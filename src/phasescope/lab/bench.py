"""The laboratory bench: runs a study's experiments, judges its claims, and keeps the results."""

from __future__ import annotations

import html
import platform
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from phasescope.checks import function, nearest, optional, shown, whole
from phasescope.ensemble import Progress, device_named
from phasescope.ensemble.plan import cores
from phasescope.errors import BadInput, resumable
from phasescope.figures import Diagram, Figure, Page
from phasescope.identity import house_fingerprint
from phasescope.lab.diagrams import diagrams, places
from phasescope.lab.neurons import opened
from phasescope.lab.paged import paged
from phasescope.lab.registry import study_of
from phasescope.lab.rehearsal import fitting, rehearse
from phasescope.lab.settings import MOST_SEEDS, changed_settings, changes_of, default_directory, folder_of, settings_of
from phasescope.lab.study import Experiment, Study, Work, budget_of, join
from phasescope.store import Store
from phasescope.verdict import Claim, Verdicts, judge
from phasescope.vocabulary import Settings

LIBRARIES = ("torch", "numpy", "scipy", "numba", "xarray", "safetensors", "phasescope")


@dataclass(frozen=True, repr=False)
class Results:
    """What a run found: ``data``, ``verdicts``, ``provenance``, and the ``directory`` that keeps them.

    ``data`` has one dataset for each experiment, by name; ``results["gd"]`` is that of the experiment "gd".
    """

    study: Study
    settings: Settings
    data: Mapping[str, xr.Dataset]
    verdicts: Verdicts
    provenance: Mapping[str, Any]
    directory: Path

    @property
    def command(self) -> str:
        """The command line that makes these results again."""
        scale = self.provenance["scale"]
        changed = changed_settings(self.study, scale, self.settings)
        parts = ["phasescope run", self.study.name, f"--scale {scale}"]
        return " ".join([*parts, *(f"--set {k}={shlex.quote(v)}" for k, v in changed.items())])

    @property
    def data_path(self) -> Path:
        """The file that holds ``data``."""
        return self.directory / "results.safetensors"

    def figures(self) -> Sequence[Figure]:
        """Return the study's figures of these results, as building blocks."""
        return self.study.figures(self.data, self.settings)

    def diagrams(self) -> Sequence[Diagram]:
        """Return what a page lets readers explore: every experiment's grid and curves, and the neurons inside."""
        experiments = self.study.experiments(self.settings)
        titles = {name: e.title for name, e in experiments.items()}
        inside = {}
        for name, what in self.study.inside(self.settings).items():
            e = experiments[name]
            assert isinstance(e, Experiment), f"{name} trains no networks"
            inside[name] = opened(e, self.data[name], what) if name in self.data else ()
        return diagrams(self.data, titles, inside, places(self.study.claims(self.settings)))

    def told(self) -> Page:
        """Return what a page tells of these results."""
        study = self.study
        return Page(
            study.name, study.title, study.question, self.figures(), self.verdicts.to_json(), study.paper,
            diagrams=self.diagrams(), notes=study.notes, settings=dict(self.settings), provenance=self.provenance,
            command=self.command,
        )  # fmt: skip

    def page(self, path: str | Path) -> Path:
        """Write the page of these results, one self-contained HTML file, as ``path``. Raises ``BadInput``."""
        return paged(self.told(), path)

    def summary(self) -> str:
        """Return the verdicts as the terminal shows them."""
        return str(self.verdicts)

    def findings(self) -> dict[str, Any]:
        """Return the claims with their verdicts, as ``--json`` has them."""
        return {"claims": self.verdicts.to_json()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __contains__(self, experiment: object) -> bool:
        return experiment in self.data

    def keys(self) -> Iterable[str]:
        """Return the names of the experiments."""
        return self.data.keys()

    def __repr__(self) -> str:
        return f"<Results of {self.study.name!r}: {', '.join(self.data)}; kept in {self.directory}>"

    def __getitem__(self, experiment: str) -> xr.Dataset:
        if not isinstance(experiment, str) or experiment not in self.data:
            raise BadInput(f"there is no experiment {shown(experiment)}{nearest(str(experiment), self.data)}")
        return self.data[experiment]

    def __str__(self) -> str:
        return f"{self.study.title}\n{self.verdicts}\nkept in {self.directory}"

    def _repr_html_(self) -> str:
        return f"<h3>{html.escape(self.study.title)}</h3>{self.verdicts._repr_html_()}"


@dataclass
class Stage:
    """Where a study is: experiment ``number`` of ``count`` with its own progress, and the steps of those before it.

    ``budget`` is the steps of this experiment if no member settles early, ``steps_total`` those of the whole study.
    ``mixed``: some experiments train and some simulate, so their steps do not compare. ``unit`` is what this experiment
    counts: training steps, or the members that it simulates.
    """

    title: str
    number: int
    count: int
    steps_before: int
    budget: int
    steps_total: int
    progress: Progress
    mixed: bool = False
    unit: str = "steps"


def provenance(
    study: str, scale: str, settings: Settings | None, device: torch.device, seconds: float
) -> dict[str, Any]:
    """Return what it takes to make the numbers again: code, settings, libraries, machine."""
    return {
        "study": study,
        "scale": scale,
        "settings": settings.model_dump(mode="json") if settings else {},
        "code": house_fingerprint("phasescope.lab.bench"),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": cores(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def run(
    study: str | Study,
    scale: str = "pocket",
    *,
    settings: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    workers: int | None = None,
    on_progress: Callable[[Stage], None] | None = None,
    **overrides: Any,
) -> Results:
    """Run a study and return its results: the data, and a verdict on every claim.

    ``scale`` is "pocket" (minutes on two cores) or "paper"; ``settings`` and ``overrides`` change numbers of it,
    for example ``p=31``; ``out`` is the run's folder (default ``runs/<study>-<scale>``). A run that was interrupted
    resumes when the same call is made again; members already trained are taken from the folder.

    Raises ``BadInput`` for an unknown study, scale or setting, or a folder that can not be written; ``Interrupted``.
    """
    chosen = study_of(study)
    changes = changes_of(settings, overrides)
    if seeds is not None:
        changes["seeds"] = whole(1, MOST_SEEDS)("seeds", seeds)
    optional(function)("on_progress", on_progress)
    named = None if out is None else folder_of("out", out)
    numbers = settings_of(chosen, scale, changes)
    where = device_named(device)
    experiments, claims, plans = _planned(chosen, numbers, chosen.scales[scale], device, workers)
    directory = named or default_directory(chosen, scale, numbers)
    started = time.monotonic()
    rehearse(claims, chosen.figures, experiments, plans, numbers, chosen.scales[scale])
    with resumable(), Store(directory) as store:
        parts = _parts(experiments, plans, store, device, workers, on_progress or (lambda stage: None))
        verdicts = judge(claims, parts)
        facts = provenance(chosen.name, scale, numbers, where, time.monotonic() - started)
        store.save_results(join(parts), verdicts.to_json(), facts)
    return Results(chosen, numbers, parts, verdicts, facts, directory.resolve())


def _planned(
    study: Study, settings: Settings, base: Settings, device: str, workers: int | None
) -> tuple[Mapping[str, Work], Sequence[Claim], dict[str, Any]]:
    """Return experiments, claims, and what was planned for each; refuse what can be refused beforehand."""
    experiments = fitting(study.experiments, "experiments", settings, base)
    claims = fitting(study.claims, "claims", settings, base)
    ids = [claim.id for claim in claims]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise BadInput(f"claims {', '.join(map(repr, twice))} are there more than once: give each claim its own id.")
    return experiments, claims, {name: e.plan(device, workers) for name, e in experiments.items()}


def _parts(
    experiments: Mapping[str, Work],
    plans: Mapping[str, Any],
    store: Store,
    device: str,
    workers: int | None,
    tell: Callable[[Stage], None],
) -> dict[str, xr.Dataset]:
    parts: dict[str, xr.Dataset] = {}
    total, before = budget_of(experiments), 0
    mixed = len({e.unit for e in experiments.values()}) > 1
    for number, (name, e) in enumerate(experiments.items(), 1):
        latest = Progress(len(e.grid), e.budget)
        where = (e.title, number, len(experiments), before, e.budget, total)

        def on_progress(
            progress: Progress, where: tuple[str, int, int, int, int, int] = where, unit: str = e.unit
        ) -> None:
            nonlocal latest
            latest = progress
            tell(Stage(*where, progress, mixed, unit))

        parts[name] = e.run(plans[name], store, device, workers, on_progress)
        # what early release and the store have spared is no longer ahead
        total -= e.budget - latest.steps_done
        before += latest.steps_done
    return parts
