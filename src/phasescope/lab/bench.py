"""The laboratory bench: runs a study's experiments, judges its claims, and keeps the results."""

from __future__ import annotations

import html
import math
import platform
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from phasescope.checks import flag, function, nearest, number, optional, shown, whole, word
from phasescope.ensemble import Progress, device_named
from phasescope.ensemble.errands import Elsewhere
from phasescope.ensemble.executors import executor_named
from phasescope.ensemble.plan import cores
from phasescope.ensemble.train import on_processors
from phasescope.errors import BadInput, resumable, some
from phasescope.figures import Diagram, Figure, Page
from phasescope.identity import house_fingerprint
from phasescope.lab.conduct import conduct_of, registered, wrapped
from phasescope.lab.diagrams import diagrams, places
from phasescope.lab.kept import refuse_own
from phasescope.lab.live import live
from phasescope.lab.neurons import opened
from phasescope.lab.paged import paged
from phasescope.lab.registration import code_of, judged_again, note_judged, standing, told
from phasescope.lab.registry import study_of
from phasescope.lab.rehearsal import fitting, rehearse
from phasescope.lab.seeds import JUDGING, UNTIL, at_look, decidable, experiments_of, kinds, seeded, unmoved, widened
from phasescope.lab.settings import MOST_SEEDS, changed_settings, changes_of, default_directory, folder_of, settings_of
from phasescope.lab.staged import Stage, staged
from phasescope.lab.stated import table_of
from phasescope.lab.study import Experiment, Study, Work, budget_of, join
from phasescope.store import Store
from phasescope.verdict import Claim, Verdicts, evidence, judge, planned_looks
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
        parts += [f"--set {k}={shlex.quote(v)}" for k, v in changed.items()]
        return " ".join([*parts, *(["--until decided"] if "looks" in self.provenance else [])])

    @property
    def data_path(self) -> Path:
        """The file that holds ``data``."""
        return self.directory / "results.safetensors"

    def figures(self) -> Sequence[Figure]:
        """Return the study's figures of these results, as building blocks."""
        return self.study.figures(self.data, self.settings)

    def experiments(self) -> Mapping[str, Work]:
        """Return the study's experiments as they were run: with the seeds that the data have."""
        found = self.study.experiments(self.settings)
        return {name: widened(e, self.data[name]) if name in self.data else e for name, e in found.items()}

    def judged(self) -> Results:
        """Return these results with verdicts given anew, by the claims and the method of today, on the same data.

        Raises ``BadInput`` where a claim looks for what was not kept.
        """
        claims = kinds(self.study.claims(self.settings), self.study.experiments(self.settings))
        found = judge(claims, self.data, looks=self.provenance.get("looks", {}).get("planned"))
        facts = dict(self.provenance)
        if "registration" in facts:
            facts["registration"] = judged_again(facts["registration"], self.study)
        return replace(self, verdicts=found, provenance=facts)

    def diagrams(self) -> Sequence[Diagram]:
        """Return what a page lets readers explore: grids and curves, the neurons inside, and what it can train."""
        experiments = self.experiments()
        titles = {name: e.title for name, e in experiments.items()}
        inside = {}
        for name, what in self.study.inside(self.settings).items():
            e = experiments[name]
            assert isinstance(e, Experiment), f"{name} trains no networks"
            inside[name] = opened(e, self.data[name], what) if name in self.data else ()
        alive = {
            name: live(e, self.data[name])
            for name, e in experiments.items()
            if isinstance(e, Experiment) and name in self.data
        }
        return diagrams(self.data, titles, inside, alive, places(self.study.claims(self.settings)))

    def told(self) -> Page:
        """Return what a page tells of these results."""
        study, verdicts = self.study, self.verdicts.to_json()
        return Page(
            study.name, study.title, study.question, self.figures(), verdicts, study.paper,
            diagrams=self.diagrams(), notes=study.notes, settings=dict(self.settings), provenance=self.provenance,
            command=self.command, conduct=self.conduct(details=False), registered=registered(self.provenance),
            evidence=self.evidence(),
            choices=study.choices(self.data, self.settings), tables=table_of(study, self.provenance["scale"], verdicts),
        )  # fmt: skip

    def evidence(self) -> Mapping[str, Any]:
        """Return by claim what its verdict was read off, seed by seed: see ``verdict.evidence``."""
        claims = kinds(self.study.claims(self.settings), self.study.experiments(self.settings))
        planned = self.provenance.get("looks", {}).get("planned")
        return evidence(claims, self.data, self.verdicts, looks=planned)

    def page(self, path: str | Path) -> Path:
        """Write the page of these results, one self-contained HTML file, as ``path``. Raises ``BadInput``."""
        return paged(self.told(), path)

    def summary(self, *, details: bool = False) -> str:
        """Return the verdicts as the terminal shows them, and on which seeds and looks they were given."""
        lines = wrapped(self.conduct(details=details))
        return "\n".join([self.verdicts.details() if details else str(self.verdicts), *lines])

    def conduct(self, *, details: bool = True) -> list[str]:
        """Return how the claims were judged: whether they were registered, on which seeds, at which looks."""
        return conduct_of(self.provenance, details=details)

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


def provenance(
    study: Study | None, scale: str, settings: Settings | None, device: torch.device, seconds: float
) -> dict[str, Any]:
    """Return what it takes to make the numbers again: code, the study's own among it, settings, libraries, machine."""
    return {
        "study": study.name if study else "",
        "scale": scale,
        "settings": settings.model_dump(mode="json") if settings else {},
        "code": code_of(study) if study else house_fingerprint("phasescope.lab.bench"),
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
    executor: Any = None,
    until: str | None = None,
    budget: float | None = None,
    progress: bool = True,
    on_progress: Callable[[Stage], None] | None = None,
    **overrides: Any,
) -> Results:
    """Run a study and return its results: the data, and a verdict on every claim.

    ``scale`` is "pocket" (minutes on two cores) or "paper"; ``settings`` and ``overrides`` change numbers of it,
    for example ``p=31``; ``out`` is the run's folder (default ``runs/<study>-<scale>``). A run that was interrupted
    resumes when the same call is made again; members already trained are taken from the folder.

    ``executor`` trains elsewhere: "processes", "ray", "ray://host:port", "slurm" or a ``concurrent.futures.Executor``.

    Claims that are registered and unchanged are judged on judging seeds, at a scale's own settings; everything else is
    judged on development seeds (``phasescope register``). ``until="decided"`` adds seeds where a claim is undecided, at
    the looks that the study plans; no further look is begun that would likely pass ``budget`` seconds.
    ``progress`` and ``on_progress`` are as ``ps.train`` has them.

    Raises ``BadInput`` for an unknown study, scale or setting, or a folder that can not be written; ``Interrupted``.
    """
    chosen = study_of(study)
    changes = changes_of(settings, overrides)
    if seeds is not None:
        changes["seeds"] = whole(1, MOST_SEEDS)("seeds", seeds)
    wanted, _ = flag("progress", progress), optional(function)("on_progress", on_progress)
    limit = _limit(until, budget, seeds)
    named = None if out is None else folder_of("out", out)
    numbers = settings_of(chosen, scale, changes)
    elsewhere = executor_named(executor, workers) if executor is not None else None
    device = device if elsewhere is None else on_processors(device)
    where, base = device_named(device), chosen.scales[scale]
    here = standing(chosen)
    first = (UNTIL if until else JUDGING) if here.unchanged and numbers == base else 0
    made = seeded(fitting(chosen.experiments, "experiments", numbers, base), first)
    claims = kinds(_claims(chosen, numbers, base), made)
    looks = _looks(chosen, len(claims), first) if until else []
    directory = named or default_directory(chosen, scale, numbers, "decided" if until else "")
    started = time.monotonic()
    plans = {name: e.plan(device, workers) for name, e in made.items()}
    rehearse(claims, chosen.figures, made, plans, numbers, base)
    if not looks:
        decidable(claims, made)
    if first and here.registration is not None:
        note_judged(chosen.name, scale, here.registration.hash, first)
    with resumable(), Store(directory) as store, staged(wanted, on_progress) as tell:
        refuse_own(store)

        def train(these: Mapping[str, Work], look: str = "") -> dict[str, xr.Dataset]:
            planned = plans if these is made else {name: e.plan(device, workers) for name, e in these.items()}
            return _parts(
                these, planned, store, device, workers, elsewhere, lambda stage: tell(replace(stage, look=look))
            )

        def keep(parts: Mapping[str, xr.Dataset], verdicts: Verdicts, **looked: Any) -> Results:
            facts = provenance(chosen, scale, numbers, where, time.monotonic() - started)
            facts |= {"registration": told(here, first, unmoved(made) if first else ()), **looked}
            store.save_results(join(parts), verdicts.to_json(), facts)
            return Results(chosen, numbers, parts, verdicts, facts, directory.resolve())

        if not looks:
            parts = train(made)
            return keep(parts, judge(claims, parts))
        return _until_decided(claims, made, looks, limit, train, keep)


def _limit(until: Any, budget: Any, seeds: int | None) -> float:
    """Return the seconds that looks may take. Raises ``BadInput`` for options that do not go together."""
    optional(word("decided"))("until", until)
    limit = math.inf if budget is None else number(0, open_low=True)("budget, in seconds,", budget)
    if until is None and budget is not None:
        raise BadInput(f"budget is {limit:g} seconds, and there is one look only: give it with until='decided'.")
    if until is not None and seeds is not None:
        raise BadInput(f"seeds is {seeds}, and until='decided' has those of the study's looks: leave one of them out.")
    return limit


def _looks(study: Study, claims: int, first: int) -> list[int]:
    """Return the looks of a run on the seeds from ``first`` on. Raises ``BadInput`` for such as can not be taken."""
    looks = planned_looks(study.looks, claims)
    if not first and looks[-1] > JUDGING:
        raise BadInput(
            f"the last look is at {looks[-1]} seeds, and claims that are not registered have the development seeds "
            f"below {JUDGING}: register them, or plan fewer."
        )
    return looks


def _until_decided(
    claims: Sequence[Claim],
    made: Mapping[str, Work],
    looks: Sequence[int],
    limit: float,
    train: Callable[[Mapping[str, Work], str], dict[str, xr.Dataset]],
    keep: Callable[..., Results],
) -> Results:
    """Add seeds at the looks, to the experiments that open claims look at, until all are decided or time is up."""
    parts: dict[str, xr.Dataset] = {}
    still, started = list(claims), time.monotonic()
    for look, (before, n) in enumerate(pairwise((0, *looks)), 1):
        begun = time.monotonic()
        words = f"look {look} of {len(looks)}, {n} seeds; open: {some([claim.id for claim in still])}"
        parts |= train(at_look(made, experiments_of(still) if look > 1 else (), n), words)
        verdicts = judge(claims, parts, looks=looks)
        still = [claim for claim in claims if verdicts[claim.id].verdict == "undecided"]
        more = (looks[look] - n) / (n - before) if look < len(looks) else 0.0
        now = time.monotonic()
        stopped = bool(still) and more > 0 and now - started + more * (now - begun) > limit
        ordered = {name: parts[name] for name in made}
        facts = {"planned": list(looks), "taken": list(looks[:look]), "open": f"{len(still)} claims" if stopped else ""}
        results = keep(ordered, verdicts, looks=facts)
        if stopped or not still:
            break
    return results


def _claims(study: Study, settings: Settings, base: Settings) -> Sequence[Claim]:
    """Return the claims. Raises ``BadInput`` where two share an id, before anything is trained."""
    claims = fitting(study.claims, "claims", settings, base)
    if not isinstance(claims, list | tuple) or not all(isinstance(claim, Claim) for claim in claims):
        raise BadInput(f"the claims of {study.name!r} are {shown(claims)}: return a list of ps.Claim.")
    ids = [claim.id for claim in claims]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise BadInput(f"claims {', '.join(map(repr, twice))} are there more than once: give each claim its own id.")
    return claims


def _parts(
    experiments: Mapping[str, Work],
    plans: Mapping[str, Any],
    store: Store,
    device: str,
    workers: int | None,
    elsewhere: Elsewhere | None,
    tell: Callable[[Stage], None],
) -> dict[str, xr.Dataset]:
    parts: dict[str, xr.Dataset] = {}
    total, before = budget_of(experiments), 0
    mixed = len({e.unit for e in experiments.values()}) > 1
    for place, (name, e) in enumerate(experiments.items(), 1):
        latest = Progress(len(e.grid), e.budget)
        where = (e.title, place, len(experiments), before, e.budget, total)

        def on_progress(
            progress: Progress, where: tuple[str, int, int, int, int, int] = where, unit: str = e.unit
        ) -> None:
            nonlocal latest
            latest = progress
            tell(Stage(*where, progress, mixed, unit))

        more = {} if elsewhere is None else {"executor": elsewhere}
        parts[name] = e.run(plans[name], store, device, workers, on_progress, **more)
        # what early release and the store have spared is no longer ahead
        total -= e.budget - latest.steps_done
        before += latest.steps_done
    return parts
