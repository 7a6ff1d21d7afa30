"""The claims of the study ``representation-similarity``: a measure at a cell, an expectation fixed here, a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, at, at_least, at_most, value
from phasescope.studies.representation_similarity.brain import reliability_of
from phasescope.studies.representation_similarity.clouds import known
from phasescope.studies.representation_similarity.settings import SimilaritySettings
from phasescope.verdict import Claim, Control, Source

KNOWN = "studies.representation_similarity.clouds.known"
PAPER = "Kornblith et al. 2019, arXiv:1905.00414"
UNIT, SIGNED, WIDTH, WIDTH_SIGNED = (0.0, 1.0), (-1.0, 1.0), (0.0, 2.0), (-2.0, 2.0)
FALSE = ("cka_biased", "cca", "svcca", "procrustes", "neighbours")
"""Measures whose value is not about 0 where nothing is shared and stimuli are few."""
QUARTER = "ours: a quarter of the steps between shares"


def claims(s: SimilaritySettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    return (*_sizes(s), *_order(s), *_false(s), *_identified(s), *_alike(s), *_recording(s), *_models(s))


# -- planted clouds --------------------------------------------------------------------------------------------------


def _off(reading: str, *measures: str) -> Measure:
    """Return how far measures are, at most over shares, from the size of what is shared."""

    @partial(Measure, words=f"largest |{' or '.join(measures)} - share|, {reading}")
    def read(cell: xr.Dataset) -> xr.DataArray:
        found = cell[reading].sel(measure=list(measures))
        names = [name.removesuffix("_biased") for name in measures]
        true = [[known(float(share))[name] for name in names] for share in cell.share.values]
        off = abs(found - xr.DataArray(true, dims=("share", "measure"), coords={"share": cell.share.values}))
        return off.max(("share", "measure"), skipna=False)

    return read


def _sizes(s: SimilaritySettings) -> Sequence[Claim]:
    few, many = at("planted", count=s.few), at("planted", count=s.many)
    return (
        Claim("cka-size",
            f"Clouds share a part of {s.dimensions} dimensions: the unbiased CKA of {s.few} stimuli is that part "
            f"(largest deviation over five shares, means over {s.pairs} pairs)",
            Source(derived=KNOWN, tolerance=QUARTER), _off("value", "cka")(few), at_most(0.0625),
            Control("the biased CKA of the same clouds", _off("value", "cka_biased")), range=WIDTH),
        Claim("corrected-size",
            f"Corrected for their nulls, CCA and the Procrustes cosine of {s.many} stimuli are that part too",
            Source(derived=KNOWN, tolerance=QUARTER), _off("corrected", "cca", "procrustes")(many), at_most(0.0625),
            Control("as they are read", _off("value", "cca", "procrustes")), range=WIDTH),
        Claim("minor-hidden",
            "CKA is above 0.95 where three quarters of the dimensions are unrelated, each with 1 % of the variance of "
            "one that is shared",
            Source(derived=KNOWN, value="0.9997", tolerance="ours: one part in twenty of equality"),
            value("value", measure="cka")(at("minor")), at_least(0.95),
            Control("CCA, corrected, which sees all dimensions alike", value("corrected", measure="cca")),
            range=SIGNED),
    )  # fmt: skip


def _least_step(reading: str) -> Measure:
    """Return the least step of any measure from a share to the next one."""

    @partial(Measure, words=f"least step of {reading} from a share to the next, of nine measures")
    def read(cell: xr.Dataset) -> xr.DataArray:
        return cell[reading].sortby("share").diff("share").min(("share", "measure"), skipna=False)

    return read


def _order(s: SimilaritySettings) -> Sequence[Claim]:
    many, half = at("planted", count=s.many), at("planted", count=s.many, share=0.5)
    of, ours = partial(value, "corrected"), "ours: what a reader would take for another share"
    return (
        Claim("all-ordered",
            "All nine measures rise from each share to the next (least step)",
            Source(ours="the least that a measure of likeness owes", tolerance="a twelfth of the step of the truth"),
            _least_step("value")(many), at_least(0.02),
            Control("their nulls, which know nothing of what is shared", _least_step("null")), range=SIGNED),
        Claim("neighbours-understate",
            "Shared neighbours, corrected, read less than 0.3 where half of the dimensions are shared",
            Source(ours=ours, value="0.5 is shared"),
            of(measure="neighbours")(half), at_most(0.3), Control("the unbiased CKA", of(measure="cka")), range=SIGNED),
        Claim("retrieval-overstates",
            "Retrieval, corrected, reads more than 0.85 where three quarters are",
            Source(ours=ours, value="0.75 is shared"),
            of(measure="retrieval")(at("planted", count=s.many, share=0.75)), at_least(0.85),
            Control("rank correlation of distances", of(measure="rsa")), range=SIGNED),
    )  # fmt: skip


def _false(s: SimilaritySettings) -> Sequence[Claim]:
    nothing = at("planted", count=s.few, share=0.0)

    def extreme(reading: str, which: str, *measures: str) -> Measure:
        @partial(Measure, words=f"{which} |{reading}| of {', '.join(measures) or 'nine measures'}")
        def read(cell: xr.Dataset) -> xr.DataArray:
            found = abs(cell[reading].sel(measure=list(measures)) if measures else cell[reading])
            return found.min("measure", skipna=False) if which == "least" else found.max("measure", skipna=False)

        return read

    return (
        Claim("false-likeness",
            f"Of unrelated clouds of {s.few} stimuli biased CKA, CCA, SVCCA, the Procrustes cosine and shared "
            "neighbours read 0.15 or more",
            Source(paper=f"{PAPER}, on CCA with few data", derived="representation.compare, the exact nulls",
                tolerance="ours: a likeness that would be reported"),
            extreme("value", "least", *FALSE)(nothing), at_least(0.15),
            Control("the unbiased CKA", extreme("value", "largest", "cka")), range=UNIT),
        Claim("nulls-right", "Corrected for their nulls all nine are within 0.15 of none",
            Source(derived="representation.compare, the exact nulls", tolerance="ours: as above"),
            extreme("corrected", "largest")(nothing), at_most(0.15), Control("as they are read",
            extreme("value", "largest")), range=WIDTH),
    )  # fmt: skip


# -- two seeds -------------------------------------------------------------------------------------------------------


def _identified(s: SimilaritySettings) -> Sequence[Claim]:
    def claim(name: str, words: str, experiment: str, measure: str) -> Claim:
        cell = at(experiment, labels="true")
        return Claim(f"{name}-{experiment}",
            f"{words} finds the layer at the same place of a {experiment.upper()} of another seed: in at least 0.9 of "
            f"{s.layers} layers",
            Source(paper=f"{PAPER}, abstract: CKA can reliably identify correspondences, there of larger networks",
                ours="nine of ten is what we would call reliably", tolerance="the same", checked=True),
            value("identified", condition="trained", measure=measure)(cell), at_least(0.9),
            Control("before training", value("identified", condition="untrained", measure=measure)),
            range=UNIT)  # fmt: skip

    mlp = at("mlp", labels="true")
    return (
        claim("identified", "CKA", "mlp", "cka"),
        claim("identified", "CKA", "cnn", "cka"),
        Claim("cca-identifies",
            "CCA, corrected for its null, finds the layer at the same place of a CNN of another seed in more than "
            "0.45 of the layers",
            Source(pilot="seeds 0 to 11 of this study", value="0.6 (0.5 to 0.9), before training 0.2 (0.2 to 0.4)",
                tolerance="between the two"),
            value("identified", condition="trained", measure="cca")(at("cnn")), at_least(0.45),
            Control("before training", value("identified", condition="untrained", measure="cca")), range=UNIT),
        Claim("same-beginning",
            "CKA does so where the second MLP began with the same weights and saw its batches in another order",
            Source(ours="a test that no pair of networks can pass says nothing of those that fail it",
                tolerance="the same"),
            value("twin")(mlp), at_least(0.9),
            Control("another beginning", value("identified", condition="trained", measure="cka")), range=UNIT),
    )  # fmt: skip


def _own(condition: str) -> Measure:
    """Return the mean CKA of layers at the same place."""
    return Measure(
        lambda cell: cell["own"].sel(condition=condition, measure="cka").mean("layer", skipna=False),
        f"mean CKA of layers at one place, {condition}",
    )


def _alike(s: SimilaritySettings) -> Sequence[Claim]:
    learnt, drawn = (at("mlp", labels=labels) for labels in ("true", "random"))

    def mean_of(condition: str, which: str) -> Measure:
        @partial(Measure, words=f"{which} |mean over layers| of seven measures, {condition}")
        def read(cell: xr.Dataset) -> xr.DataArray:
            found = abs(cell["own"].sel(condition=condition).mean("layer", skipna=False))
            return found.min("measure", skipna=False) if which == "least" else found.max("measure", skipna=False)

        return read

    return (
        Claim("learning-alike",
            "Learning makes the layers of two MLPs more alike: their CKA is higher than before training by 0.2 or more",
            Source(ours="what inputs and architecture share is there before training", 
                tolerance="the smallest gain that we would report"),
            (_own("trained") - _own("untrained"))(learnt), at_least(0.2),
            Control("two MLPs that were trained on the same random labels", drawn), range=WIDTH_SIGNED),
        Claim("inputs-alike",
            "Two MLPs that were never trained have layers with a CKA of 0.15 or more",
            Source(ours="the baseline that a similarity of trained networks needs", 
                tolerance="a likeness that would be reported"),
            _own("untrained")(learnt), at_least(0.15),
            Control("the stimuli of one in another order, though both are trained", _own("shuffled")), range=SIGNED),
        Claim("shuffled-unlike",
            "Of two trained MLPs, the stimuli of one in another order, none of seven corrected measures reads more "
            "than 0.1 on average over layers",
            Source(derived="representation.compare, the exact nulls", tolerance="ours: a tenth of equality"),
            mean_of("shuffled", "largest")(learnt), at_most(0.1),
            Control("never trained, the stimuli in the same order", mean_of("untrained", "least")), range=WIDTH),
    )  # fmt: skip


# -- recordings ------------------------------------------------------------------------------------------------------


def _recording(s: SimilaritySettings) -> Sequence[Claim]:
    cell = at("brain")

    def off_ceiling(repeats: int) -> Measure:
        @partial(Measure, words=f"largest |ceiling - that of {repeats} presentations|")
        def read(cell: xr.Dataset) -> xr.DataArray:
            true = [reliability_of(float(noise), repeats) ** 0.5 for noise in cell.noise.values]
            off = abs(cell["ceiling"] - xr.DataArray(true, dims="noise"))
            return off.max(("explained", "noise"), skipna=False)

        return read

    def off_size(reading: str) -> Measure:
        @partial(Measure, words=f"largest |{reading} - root of what is explained|")
        def read(cell: xr.Dataset) -> xr.DataArray:
            off = abs(cell[reading].sel(model="own") - xr.DataArray(np.sqrt(cell.explained.values), dims="explained"))
            return off.max(("explained", "noise"), skipna=False)

        return read

    return (
        Claim("ceiling-right",
            f"The noise ceiling of {s.repeats} repeats is the root of the reliability that was planted (largest "
            "deviation over three noises and three parts explained; median unit)",
            Source(derived="studies.representation_similarity.brain.reliability_of",
                tolerance="ours: a third of what one presentation differs by where there is least noise"),
            off_ceiling(s.repeats)(cell), at_most(0.03),
            Control("that of one presentation", off_ceiling(1)), range=UNIT),
        Claim("explained-recovered",
            "r over the ceiling is the root of the variance that the layer explains, whatever the noise",
            Source(derived="a model of the explained part correlates with its root", 
                tolerance="ours: 0.08, of which ridge regression on few stimuli costs a part"),
            off_size("normalized")(cell), at_most(0.08), Control("r, not divided by the ceiling", off_size("r")),
            range=WIDTH),
    )  # fmt: skip


def _models(s: SimilaritySettings) -> Sequence[Claim]:
    cell, quiet = at("brain"), {"explained": 1.0, "noise": 1.0}
    alike, lead = partial(value, "normalized", **quiet), partial(value, "lead", **quiet)
    shuffled = value("shuffled", **quiet)
    gain = {
        source: value("best", source=source, features="own") - value("best", source=source, features="untrained")
        for source in ("own", "untrained")
    }
    return (
        Claim("layer-named",
            "All of the recording is one layer: that layer of the network leads the others in r over ceiling by 0.005 "
            "or more",
            Source(ours="the layer that predicts best is taken for the source", tolerance="above 0, with room"),
            lead(model="own")(cell), at_least(0.005),
            Control("the same place of a network of another seed", lead(model="other seed")), range=SIGNED),
        Claim("other-seed-less",
            "The same layer of a network of another seed reaches less than 0.95 of the ceiling",
            Source(ours="which network it is matters as well as which layer", tolerance="one part in twenty of all"),
            alike(model="other seed")(cell), at_most(0.95), Control("the network itself", alike(model="own")),
            range=WIDTH_SIGNED),
        Claim("untrained-much",
            "The best layer of the network before training reaches 0.8 of the ceiling or more: most of what a trained "
            "network predicts is no evidence of what it learnt",
            Source(ours="the baseline that a predictivity needs", tolerance="four parts in five"),
            value("best", source="own", features="untrained")(cell), at_least(0.8),
            Control("the trained network, stimuli shuffled", shuffled), range=WIDTH_SIGNED),
        Claim("training-gains",
            "Trained features predict a recording of the trained network better than untrained ones do, by 0.05 or "
            "more of the ceiling", Source(ours="the gain that is evidence of learning", tolerance="one part in twenty"),
            gain["own"](cell), at_least(0.05),
            Control("a recording of the untrained network", gain["untrained"]), range=WIDTH_SIGNED),
    )  # fmt: skip
