"""The claims of the study ``manifold-capacity``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, by_seed, least, most, near, value
from phasescope.studies.manifold_capacity.settings import ManifoldSettings
from phasescope.theory import manifold_capacity
from phasescope.verdict import Claim, Control, Source
from phasescope.vocabulary import Array

PAPER = "Schaeffer et al. 2024"
WORKSHOP = "Schaeffer, Isik et al. 2023 (workshop paper, numbers as there)"
PEAKS = f"{PAPER}, abstract: non-monotonic loss akin to double descent; {WORKSHOP}, Fig. 1: at P = D"
LAWS = f"{PAPER}, abstract: compute scaling laws"
SHARE, RATIO, GAIN = (0.0, 1.0), (0.0, math.inf), (-1.0, 1.0)
ERROR = value("error")


def claims(s: ManifoldSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    found = (*_bound(s), *_uniform(s), *_free(s), *_trained(s), *_scaling(s), *_images(s))
    return (*found, *_pairs(s)) if s.pairs else found


def _bound(s: ManifoldSettings) -> Sequence[Claim]:
    return (
        Claim("bound",
            f"The nuclear norm of {s.draws} matrices of all kinds, rows in the unit ball, is at most sqrt(P min(P, D))",
            Source(paper=f"{WORKSHOP}, Prop. 2.3", checked=True, tolerance="rounding"), value("share")(at("bound")),
            at_most(1 + 1e-9), Control("what uniform embeddings reach is the most", value("over_uniform")),
            unit="of the bound", range=RATIO),
    )  # fmt: skip


def _deviation(missed: Measure, law: Callable[[int, int], float], words: str, data: int) -> Measure:
    """Return how far, over all dimensions, what is missed lies from what ``law`` says of ``data`` embeddings."""

    def read(cell: xr.Dataset) -> xr.DataArray:
        predicted = cell["dimension"].copy(data=[law(data, int(n)) for n in cell["dimension"].values])
        largest: xr.DataArray = abs(missed.read(cell) - predicted).max("dimension", skipna=False)
        return largest

    return Measure(read, f"largest deviation of {missed} over dimensions from {words}")


def _leading_order(data: int, dimension: int) -> float:
    return min(data, dimension) / max(data, dimension) / 8


def _uniform(s: ManifoldSettings) -> Sequence[Claim]:
    def peak(cell: xr.Dataset) -> xr.DataArray:
        place = s.large.index(int(cell["data"]))
        error = cell["error"]
        return error.isel(dimension=place) / error.drop_isel(dimension=place).max("dimension", skipna=False)

    above = value("uniformity") - manifold_capacity.uniform_potential(64)
    *_, before, last = s.uniform_dimensions
    lower = max(n for n in s.uniform_dimensions if n < 64)
    wide = manifold_capacity.uniform_percent_error(128, last)
    size = "of the finite size, where the formula is that of large ones"
    return (
        Claim("uniform-peak", "256 uniform embeddings in 256 dimensions miss 1 - 8/(3 pi) = 15.12 % of the bound",
            Source(derived="theory.manifold_capacity.uniform_percent_error (Marchenko-Pastur)", tolerance=size),
            ERROR(at("square", dimension=256)), near(0.1511, 0.002),
            Control("in 288 dimensions", at("square", dimension=288)), range=SHARE),
        Claim("uniform-wide", f"128 uniform embeddings in {last} dimensions miss about c/8: {wide:.4f}",
            Source(paper=f"{WORKSHOP}, Thm. 2.5: of order P/D",
                derived="theory.manifold_capacity.uniform_percent_error", checked=True,
                tolerance=size), ERROR(at("uniform", dimension=last)),
            near(wide, 0.0005), Control(f"in {before} dimensions", at("uniform", dimension=before)), range=SHARE),
        Claim("uniform-curve",
            "Over all dimensions the error of 128 uniform embeddings is 1 - 2F1(1/2, -1/2; 2; c), c the ratio of sizes "
            f"(largest deviation over dimensions, of means of {s.repeats})",
            Source(derived="theory.manifold_capacity.uniform_percent_error", tolerance=size),
            _deviation(ERROR, manifold_capacity.uniform_percent_error, "the uniform law", 128)(at("uniform")),
                at_most(0.003),
            Control("its leading order c/8, which has the theorem's form",
                _deviation(ERROR, _leading_order, "c/8", 128)), range=SHARE),
        Claim("uniform-double-descent",
            "For every number of data the error over dimensions peaks where both are equal, for uniform embeddings "
            "(error there over the largest elsewhere, smallest over curves)",
            Source(paper=f"{WORKSHOP}, Fig. 1 and App. B", checked=True, tolerance="none: a peak is above the rest"),
            least(Measure(peak, "error at D = P over the largest elsewhere"),
                [at("large", data=n) for n in s.large[1:-1]]), at_least(1.0),
            Control(f"{s.data} embeddings that followed the gradient freely, at the end",
                _peak("dimension", s.data, s.free_dimensions, "free", AT_END)), range=RATIO),
        Claim("least-potential",
            "The uniformity of uniform embeddings is -2t + log 0F1(D/2; t^2), at t = 2 and D = 64",
            Source(paper="Wang and Isola 2020, Sec. 4.1", derived="theory.manifold_capacity.uniform_potential",
                tolerance="of the finite number of embeddings"), above(at("uniform", dimension=64)),
            near(0.0, 0.02), Control(f"in {lower} dimensions", at("uniform", dimension=lower)), unit="nat"),
    )  # fmt: skip


def _free(s: ManifoldSettings) -> Sequence[Claim]:
    def off(paced: bool) -> Measure:
        def largest(run: xr.Dataset) -> float:
            error, n = run.error.values, int(run.dimension)
            # the law's own pace is sqrt(n / P); without it all sizes would go at one pace
            pace = 1.0 if paced else (min(n, s.data) / s.data) ** -0.5
            law = manifold_capacity.free_percent_error(error[0], pace * run.time.values, s.data, n)
            return float(np.abs(error - law).max())

        return by_seed(largest, "largest deviation from the tanh law" + ("" if paced else " without sqrt(n/P)"))

    left = Measure(lambda cell: cell["error"].isel(time=-1) / cell["error"].isel(time=0), "error at the end over start")
    encoders = Measure(lambda cell: cell["curve"].isel(step=-1) / cell["curve"].isel(step=0), "last over first steps")
    return (
        Claim("free-flow",
            "Free embeddings follow the tanh law: dq/dt = sqrt(n/P) (1 - q^2) for the fraction q of the bound (largest "
            "deviation)",
            Source(derived="theory.manifold_capacity.free_percent_error: exact for a fixed sum of squared norms, a "
                "bound for unit rows",
                tolerance="a thirtieth of the largest error there is to follow"),
            most(off(True), [at("free", dimension=n) for n in s.free_dimensions]), at_most(0.005),
            Control("the law with one pace at all sizes, without sqrt(n/P)", off(False)), range=SHARE),
        Claim("free-has-no-peak",
            "At P = D free embeddings lose nine tenths of their error: nothing forbids the bound there",
            Source(paper=f"{WORKSHOP}, Prop. 2.3: is attained", checked=True, ours="nine tenths",
                tolerance="a tenth that may be left"), left(at("free", dimension=s.data)), at_most(0.1),
            Control("encoders, the last half of their steps over the first sixteenth",
                encoders(at("dimensions", dimension=s.data))), unit="of the start", range=RATIO),
    )  # fmt: skip


AT_END = Measure(lambda cell: cell["error"].isel(time=-1), "error at the end")


def _peak(
    axis: str, top: int, others: Sequence[int], experiment: str, error: Measure = ERROR, **knobs: int
) -> Measured:
    """Return the error at ``top`` of an axis over the largest one at ``others``: above 1 where ``top`` is the peak."""
    elsewhere = at(experiment, **knobs, **{axis: [n for n in others if n != top]})
    largest = Measure(lambda cell: error.read(cell).max(axis), f"largest {error}")
    return error(at(experiment, **knobs, **{axis: top})) / largest(elsewhere)


def _trained(s: ManifoldSettings) -> Sequence[Claim]:
    below, above = s.data * 3 // 4, s.data * 3 // 2
    near_by = (below, s.data, above)

    def off(law: Callable[[int, int], float], words: str) -> Measure:
        return _deviation(1 - value("flatness"), law, words, s.data)

    return (
        Claim("trained-peak",
            f"Trained encoders of {s.data} data have a percent error at D = {s.data} of at least 1.2 times that at "
            f"{below} and at {above}",
            Source(paper=PEAKS, checked=True, value="1.25 to 1.27", tolerance="a little below the least of the pilot",
                pilot="encoders of this kind twice as wide, P = 64, D = 48, 64 and 96, three seeds"),
            _peak("dimension", s.data, (below, above), "dimensions"), at_least(1.2),
            Control(f"the same dimensions with {above} data, where the peak must move",
                _peak("dimension", s.data, near_by, "more_data")), range=RATIO),
        *(
            Claim(f"batch-peak-{views}",
                f"With {views} views and D = {s.data} the error over the batch is largest at P = D (over the largest "
                "elsewhere)", Source(paper=PEAKS, checked=True, tolerance="none: a peak is above the rest"),
                _peak("data", s.data, s.batches, "batches", views=views), at_least(1.0),
                Control(f"the same batches in {above} dimensions, where the peak must move",
                    _peak("data", s.data, near_by, "more_dimensions", views=views)), range=RATIO)
            for views in s.views
        ),
        Claim("trained-is-uniform",
            "What an encoder reaches on fresh data is the flatness of uniform embeddings, not the bound (largest "
            "deviation over dimensions)",
            Source(derived="theory.manifold_capacity.uniform_percent_error",
                tolerance="half the height of the peak over its neighbours"),
            off(manifold_capacity.uniform_percent_error, "the uniform law")(at("dimensions")), at_most(0.03),
            Control("before training", at("fresh")), range=SHARE),
        Claim("image-peak",
            f"On real images ({s.images}) the error peaks at D = P = {s.data} too (over the largest elsewhere)",
            Source(paper=f"{PEAKS}; on other images", checked=True, tolerance="none: a peak is above the rest"),
            _peak("dimension", s.data, s.image_dimensions, "image_dimensions"), at_least(1.0),
            Control(f"the same dimensions with {above} data, where the peak must move",
                _peak("dimension", s.data, (s.data, above), "more_images")), range=RATIO),
    )  # fmt: skip


def straightness(curve: xr.DataArray, scale: Callable[[Array], Array] = np.log) -> xr.DataArray:
    """Return R^2 of a straight line through log error over ``scale`` of the step; 0 where the line rises."""
    x = xr.DataArray(scale(curve.step.values), dims="step", coords={"step": curve.step})
    x, y = x - x.mean("step", skipna=False), xr.apply_ufunc(np.log, curve)
    y = y - y.mean("step", skipna=False)
    slope = (x * y).sum("step", skipna=False) / (x**2).sum("step", skipna=False)
    share: xr.DataArray = ((slope * x) ** 2).sum("step", skipna=False) / (y**2).sum("step", skipna=False) * (slope < 0)
    return share


def _scaling(s: ManifoldSettings) -> Sequence[Claim]:
    first = s.dimensions[0]

    @partial(Measure, words="error of the last half of the steps over that of the first 128th")
    def fall(cell: xr.Dataset) -> xr.DataArray:
        return cell["curve"].isel(step=-1) / cell["curve"].isel(step=0)

    def straight(scale: Callable[[Array], Array], words: str) -> Measure:
        return Measure(lambda cell: straightness(cell["curve"], scale), f"R^2 of log error over {words}")

    return (
        Claim("error-falls",
            f"Far from P = D (D = {first}) the error falls by a fifth or more over two decades of steps (ratio)",
            Source(paper=LAWS, checked=True, ours="a fifth is the least that matters over two decades",
                tolerance="the least that matters"), fall(at("long")), at_most(0.8),
            Control("encoders that do not learn", at("still")), range=RATIO),
        Claim("power-law",
            "Far from P = D the error is a power law in steps, over two decades: R^2 of a straight line in logarithms",
            Source(paper=LAWS, checked=True, ours="nine tenths of the variance", tolerance="a tenth of the variance"),
            straight(np.log, "log step")(at("long")), at_least(0.9),
            Control("an exponential fall: log error over steps", straight(np.asarray, "steps")), range=SHARE),
    )  # fmt: skip


def _images(s: ManifoldSettings) -> Sequence[Claim]:
    same, other, untrained = at("images", views_of="same"), at("images", views_of="other"), at("untrained")
    probe = value("probe")
    least_gain = "the smallest gain that matters, in accuracy"
    return (
        Claim("images-uniform", "Test embeddings come within half a nat of the least uniformity there is",
            Source(paper=f"{WORKSHOP}, Thm. 2.5: uniformity is optimal", checked=True, ours="half a nat",
                tolerance="an eighth of what parts uniform from equal embeddings"),
            (value("uniformity") - manifold_capacity.uniform_potential(s.data))(same), at_most(0.5),
            Control("untrained encoders", untrained), unit="nat"),
        Claim("images-aligned",
            "Views of a test image lie closer than half the squared distance 2 of unrelated embeddings",
            Source(paper=f"{WORKSHOP}, Thm. 2.5: perfect reconstruction is optimal", checked=True, ours="the half",
                tolerance="half way between equal and unrelated"), value("alignment")(same),
            at_most(1.0), Control("trained on views of different images", other), range=(0.0, 4.0)),
        Claim("probe",
            f"With {s.labelled} labels a linear probe is better by 0.05 or more on the encoder than on pixels",
            Source(paper="Yerxa et al. 2023: linear probes, on other images", ours="0.05", tolerance=least_gain),
            (probe - value("pixels"))(same), at_least(0.05), Control("untrained encoders", untrained), range=GAIN),
        Claim("probe-needs-views",
            "The probe is better by 0.05 or more than after training on views of different images",
            Source(paper="Yerxa et al. 2023: the objective aligns views of one datum", ours="0.05",
                tolerance=least_gain), probe(same) - probe(other), at_least(0.05),
            Control("untrained encoders instead", probe(untrained) - probe(other)), range=GAIN),
    )  # fmt: skip


def _pairs(s: ManifoldSettings) -> Sequence[Claim]:
    recall, mismatched = value("recall"), at("mismatched")
    mmcr, clip = at("pairs", objective="mmcr"), at("pairs", objective="contrastive")
    return (
        Claim("pairs-found",
            f"Encoders of {s.pairs} and of their names find held-out pairs: recall at 10, over chance",
            Source(paper=f"{PAPER}, abstract: performant on image-text data", checked=True, ours="three times chance",
                tolerance="the least that is a use"), (recall / value("chance"))(mmcr), at_least(3.0),
            Control("trained with the names of other pictures", mismatched), range=RATIO),
        Claim("pairs-like-clip",
            f"At a batch of {s.data} the loss finds no fewer held-out pairs than CLIP's, by 0.02 (recall at 10)",
            Source(ours="whether one would lose by it where batches are small", tolerance="the smallest that matters"),
            recall(mmcr) - recall(clip), at_least(-0.02),
            Control("trained with the names of other pictures", recall(mismatched) - recall(clip)), range=GAIN),
    )  # fmt: skip
