"""The laws of a study: what any ``phasescope.Study`` must do to be run, judged, drawn and believed.

Each law takes the study, or results of it, and raises ``AssertionError`` with a sentence that says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from phasescope.checks import kind
from phasescope.errors import BadInput
from phasescope.figures import Curves, Histogram, Line
from phasescope.lab import Results, Study, load, run
from phasescope.lab.study import Work
from phasescope.testing.rivals import law_rivals
from phasescope.verdict import Claim, Control, Measured, judge


def check_study(study: Study, folder: str | Path, *, settings: Mapping[str, Any] | None = None) -> Results:
    """Hold a study to every law, and return the results of a run of it.

    ``settings`` make the run small: it need not support a claim. It is kept in ``folder``. Raises ``AssertionError``.
    """
    kind(Study, say="a ps.Study")("the study to be checked", study)
    for law in STUDY_LAWS:
        law(study)
    results = run(study, out=folder, settings=settings)
    for judged in RESULT_LAWS:
        judged(results)
    return results


# -- what a study says before it is run ----------------------------------------------------------------------------


def law_scales(study: Study) -> None:
    """There is a scale "pocket", the first; the settings of each survive JSON and give experiments and claims."""
    assert next(iter(study.scales), None) == "pocket", f"{study.name}: the first scale is not 'pocket'"
    for name, s in study.scales.items():
        assert type(s)(**s.model_dump(mode="json")) == s, f"{study.name}: the settings of {name} do not survive JSON"
        experiments = _made(study, name)
        if experiments is None:
            continue
        assert experiments, f"{study.name}: nothing is done at {name}"
        for key in experiments:
            assert key.isidentifier(), f"{study.name}: the experiment {key!r} has a name that is no identifier"
        titles = [e.title for e in experiments.values()]
        assert len(set(titles)) == len(titles), f"{study.name}: two experiments have one title at {name}"


def _made(study: Study, scale: str) -> Mapping[str, Work] | None:
    """Return the experiments of a scale; None where a scale after the first needs a user's own data, not at hand."""
    try:
        return study.experiments(study.scales[scale])
    except BadInput:
        if scale == next(iter(study.scales)):
            raise
        return None


def law_claims(study: Study) -> None:
    """Every claim has an id of its own, and a control that is not its own effect."""
    for name, s in study.scales.items():
        claims = study.claims(s)
        ids = [claim.id for claim in claims]
        assert claims, f"{study.name}: claims nothing at {name}"
        assert len(set(ids)) == len(ids), f"{study.name}: two claims share an id at {name}"
        for claim in claims:
            assert not same_effect(claim), f"{study.name}: the control of {claim.id} is its effect"


def same_effect(claim: Claim) -> bool:
    """Return whether a claim's control measures what the claim does, where it does."""
    effect, control = claim.effect, claim.control.effect
    if isinstance(effect, Measured) and isinstance(control, Measured):
        return effect.measure is not None and (effect.measure, effect.cells) == (control.measure, control.cells)
    return effect is control


def law_cells(study: Study) -> None:
    """Every cell that a claim is measured at is in the grid of its experiment."""
    for name, s in study.scales.items():
        experiments = _made(study, name)
        for claim in study.claims(s) if experiments is not None else ():
            for effect in (claim.effect, claim.control.effect):
                for cell in effect.cells if isinstance(effect, Measured) else ():
                    where = f"{study.name}, {name}: {claim.id} is measured at {cell}"
                    assert experiments is not None
                    assert cell.experiment in experiments, f"{where}, and there is no such experiment"
                    axes = experiments[cell.experiment].grid.coords
                    for axis in cell.knobs.keys() & axes.keys():
                        known = list(axes[axis])
                        named = cell.knobs[axis]
                        values = list(named) if isinstance(named, list | tuple) else [named]
                        assert all(v in known for v in values), f"{where}, and the grid has {axis} at {known}"


def law_mapped(study: Study) -> None:
    """What can be mapped has one value for each knob, a recipe, and an order parameter; what is opened is there."""
    for name, s in study.scales.items():
        experiments = _made(study, name)
        if experiments is None:
            continue
        assert study.inside(s).keys() <= experiments.keys(), f"{study.name}: opens what {name} does not train"
        if study.mapped is not None:
            e = study.mapped(s)
            assert e.recipe is not None, f"{study.name}: a map needs a recipe"
            assert study.orders, f"{study.name}: a map needs an order parameter"
            several = [axis for axis, values in e.grid.axes.items() if len(values) > 1]
            assert not several, f"{study.name}: what is mapped has more than one value of {several}"


STUDY_LAWS = (law_scales, law_claims, law_cells, law_mapped, law_rivals)


# -- what a run of it leaves -----------------------------------------------------------------------------------------


def law_everything_is_there(results: Results) -> None:
    """Every experiment is in the data, over its grid, with its readings; every claim has a verdict."""
    study, s = results.study, results.settings
    experiments = results.experiments()
    assert list(results.data) == list(experiments), f"{study.name}: data of {list(results.data)}"
    for name, e in experiments.items():
        data, where = results[name], f"{study.name}, {name}"
        for axis, values in e.grid.coords.items():
            assert list(data[axis].values) == list(values), f"{where}: another axis {axis}"
        # not every instrument has an error, and not every buffer is kept
        sure = {
            q.name for q in e.leaves(e.plan("cpu")) if not q.name.endswith("_error") and not q.name.startswith("final.")
        }
        missing = sure - set(map(str, data.variables))
        assert not missing, f"{where}: no {', '.join(sorted(missing))}"
    verdicts = [verdict["id"] for verdict in results.verdicts.to_json()]
    assert verdicts == [claim.id for claim in study.claims(s)], f"{study.name}: not every claim has a verdict"


def law_figures(results: Results) -> None:
    """Figures have ids of their own, name claims that there are, and have as many values as places."""
    known = {claim.id for claim in results.study.claims(results.settings)}
    figures = results.figures()
    ids = [figure.id for figure in figures]
    assert len(set(ids)) == len(ids), f"{results.study.name}: two figures share an id"
    for figure in figures:
        where = f"{results.study.name}, figure {figure.id}"
        assert set(figure.claims) <= known, f"{where}: claims that there are not: {set(figure.claims) - known}"
        assert figure.panels, f"{where}: no panel"
        for panel in figure.panels:
            lines = panel.lines if isinstance(panel, Curves) else ()
            bad = [line.label for line in lines if len({len(v) for v in _series(line)}) > 1]
            assert not bad, f"{where}: {bad} has more places than values"
            samples = panel.samples if isinstance(panel, Histogram) else ()
            assert all(np.ndim(values) == 1 for _, values in samples), f"{where}: a histogram of a table"


def _series(line: Line) -> list[Any]:
    return [v for v in (line.x, line.y, line.low, line.high) if v is not None]


def law_controls_count(results: Results) -> None:
    """A study whose controls are its effects is broken: no claim of it holds, however good its numbers."""
    claims = results.study.claims(results.settings)
    broken = [replace(claim, control=Control("the effect itself", claim.effect)) for claim in claims]
    held = [verdict["id"] for verdict in judge(broken, results.data).to_json() if verdict["verdict"] == "holds"]
    assert not held, f"{results.study.name}: {held} hold against themselves"


def law_seeds_alone(results: Results) -> None:
    """The value of a seed is its own, and stays where another seed is left out: what is pooled over seeds is no n."""
    several = {name for name, data in results.data.items() if data.sizes.get("seed", 1) > 1}  # theory has one
    fewer = {name: data.isel(seed=slice(-1)) if name in several else data for name, data in results.data.items()}
    for claim in results.study.claims(results.settings):
        both: tuple[tuple[str, Any], ...] = (("effect", claim.effect), ("control", claim.control.effect))
        for role, effect in both:
            before, after = (np.asarray(effect(data), dtype=float) for data in (results.data, fewer))
            alone = np.allclose(before[: len(after)], after, equal_nan=True) if len(after) < len(before) else True
            assert alone, f"{results.study.name}: the {role} of {claim.id} depends on other seeds than its own"


def law_kept(results: Results) -> None:
    """What was kept is what is loaded, and the same call trains nothing again: not even the seconds change."""
    name = results.study.name
    again = load(results.directory, study=results.study)
    assert isinstance(again, Results), f"{name}: a {type(again).__name__} is loaded"
    assert again.settings == results.settings, f"{name}: other settings are loaded"
    same_settings = results.settings.model_dump(mode="json")
    resumed = run(results.study, results.provenance["scale"], settings=same_settings, out=results.directory)
    for found, how in ((again, "loaded"), (resumed, "run again")):
        assert list(found.data) == list(results.data), f"{name}: other experiments when {how}"
        for key, data in results.data.items():
            assert found.data[key].identical(data), f"{name}: other data of {key} when {how}"
        assert found.verdicts.to_json() == results.verdicts.to_json(), f"{name}: other verdicts when {how}"


def law_page(results: Results) -> None:
    """A page is written, whole, that names every claim."""
    text = results.page(results.directory / "report.html").read_text("utf-8")
    assert text.rstrip().endswith("</html>"), f"{results.study.name}: the page has no end"
    absent = [claim.id for claim in results.study.claims(results.settings) if claim.id not in text]
    assert not absent, f"{results.study.name}: the page says nothing of {absent}"


RESULT_LAWS = (law_everything_is_there, law_figures, law_controls_count, law_seeds_alone, law_kept, law_page)


def check_results(results: Results) -> None:
    """Hold results of a run to every law of results. Raises ``AssertionError``."""
    kind(Results, say="what ps.run returned")("the results to be checked", results)
    for law in RESULT_LAWS:
        law(results)
