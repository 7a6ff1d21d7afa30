"""The claims of the study ``manifold-capacity``: a measure at a cell, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope.lab.measures import Measure, Measured, at, at_least, at_most, by_seed, least, most, near, value
from phasescope.studies.manifold_capacity.settings import ManifoldSettings
from phasescope.theory.manifold_capacity import free_percent_error, uniform_percent_error, uniform_potential
from phasescope.verdict import Claim, Control

PAPER = "Schaeffer et al. 2024"
ERROR = value("error")


def claims(s: ManifoldSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    found = (*_bound(s), *_uniform(s), *_free(s), *_trained(s), *_scaling(s), *_images(s))
    return (*found, *_pairs(s)) if s.pairs else found


def _bound(s: ManifoldSettings) -> Sequence[Claim]:
    unit_rows = at("bound", norm=1.0)
    return (
        Claim("bound", f"The nuclear norm of {s.draws} matrices of all kinds with rows in the unit ball is at most "
            "sqrt(P min(P, D))", f"{PAPER}, Prop. 2.3; claim 4.4.1 (rounding allowed)", value("share")(unit_rows),
            at_most(1 + 1e-9), Control("the same with rows of norm up to 1.3", at("bound", norm=1.3)),
            unit="of the bound"),
        Claim("two-rows", "Two unit rows at an angle have the nuclear norm sqrt(2 + 2 |sin angle|)",
            "derived here; claim 4.4.6 (largest deviation, rounding allowed)", value("sine_law")(unit_rows),
            at_most(1e-9), Control("the same with the cosine", value("cosine_law"))),
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


def _no_error(data: int, dimension: int) -> float:
    return 0.0


def _uniform(s: ManifoldSettings) -> Sequence[Claim]:
    def peak(where: str, shift: int) -> Measure:
        """Return the error ``shift`` places after the dimension that equals the data, over the largest elsewhere."""

        def read(cell: xr.Dataset) -> xr.DataArray:
            place = s.large.index(int(cell["data"])) + shift
            error = cell["error"]
            return error.isel(dimension=place) / error.drop_isel(dimension=place).max("dimension", skipna=False)

        return Measure(read, f"error at {where} over the largest elsewhere")

    def above_potential(t: float) -> Measure:
        return value("uniformity") - uniform_potential(64, t)

    last = s.uniform_dimensions[-1]
    wide = uniform_percent_error(128, last)
    return (
        Claim("uniform-peak", "256 uniform embeddings in 256 dimensions miss 1 - 8/(3 pi) = 15.12 % of the bound",
            "derived here (Marchenko-Pastur); claim 4.4.2 (tolerance of the finite size)",
            ERROR(at("square", dimension=256)), near(0.1511, 0.002),
            Control("in 512 dimensions", at("square", dimension=512))),
        Claim("uniform-wide", f"128 uniform embeddings in {last} dimensions miss about c/8: {wide:.4f}",
            f"{PAPER}, Thm. 2.5, as an exact limit derived here; claim 4.4.2", ERROR(at("uniform", dimension=last)),
            near(wide, 0.0005), Control("in 128 dimensions", at("uniform", dimension=128))),
        Claim("uniform-curve",
            "Over all dimensions the error of 128 uniform embeddings is 1 - 2F1(1/2, -1/2; 2; c), c the ratio of sizes",
            f"derived here; claim 4.4.2 (largest deviation over dimensions, of means of {s.repeats})",
            _deviation(ERROR, uniform_percent_error, "the uniform law", 128)(at("uniform")), at_most(0.003),
            Control("its leading order c/8, which has the theorem's form",
                _deviation(ERROR, _leading_order, "c/8", 128))),
        Claim("uniform-double-descent",
            "For every number of data the error over dimensions peaks where both are equal, for uniform embeddings",
            f"{PAPER}, App. B; claim 4.4.3 (error at the peak over the largest elsewhere, smallest over curves)",
            least(peak("D = P", 0), [at("large", data=n) for n in s.large[1:-1]]), at_least(1.0),
            Control("at the next dimension instead", peak("the next D", 1))),
        Claim("least-potential",
            "The uniformity of uniform embeddings is -2t + log 0F1(D/2; t^2), at t = 2 and D = 64",
            "Wang and Isola 2020, Sec. 4.1; closed form derived here; difference in nats",
            above_potential(2.0)(at("uniform", dimension=64)), near(0.0, 0.02),
            Control("the closed form at t = 1", above_potential(1.0)), unit="nat"),
    )  # fmt: skip


def _free(s: ManifoldSettings) -> Sequence[Claim]:
    def off(speed: float) -> Measure:
        def largest(run: xr.Dataset) -> float:
            error = run.error.values
            law = free_percent_error(error[0], speed * run.time.values, s.data, int(run.dimension))
            return float(np.abs(error - law).max())

        return by_seed(largest, f"largest deviation from the tanh law, speed {speed:g}")

    def remaining(share: float) -> Measure:
        def read(cell: xr.Dataset) -> xr.DataArray:
            error, times = cell["error"], cell.sizes["time"]
            return error.isel(time=min(int(share * times), times - 1)) / error.isel(time=0)

        return Measure(read, f"error after {share:g} of the time over that at the start")

    return (
        Claim("free-flow",
            "Free embeddings follow the tanh law: dq/dt = sqrt(n/P) (1 - q^2) for the share q of the bound",
            "derived here; exact for a fixed sum of squared norms, an upper bound for unit rows (largest deviation)",
            most(off(1.0), [at("free", dimension=n) for n in s.free_dimensions]), at_most(0.005),
            Control("the law at twice the speed", off(2.0))),
        Claim("free-has-no-peak",
            "At P = D free embeddings lose nine tenths of their error: nothing forbids the bound there",
            f"{PAPER}, Prop. 2.3 is attained; derived here (error at the end)",
            remaining(1.0)(at("free", dimension=s.data)), at_most(0.1),
            Control("an eighth of the way", remaining(1 / 8)), unit="of the start"),
    )  # fmt: skip


def _peak(axis: str, top: int, others: Sequence[int], experiment: str, **knobs: int) -> Measured:
    """Return the error at ``top`` of an axis over the largest one at ``others``: above 1 where ``top`` is the peak."""
    elsewhere = at(experiment, **knobs, **{axis: [n for n in others if n != top]})
    largest = Measure(lambda cell: cell["error"].max(axis), "largest error")
    return ERROR(at(experiment, **knobs, **{axis: top})) / largest(elsewhere)


def _trained(s: ManifoldSettings) -> Sequence[Claim]:
    below, above = s.data * 3 // 4, s.data * 3 // 2

    def off(law: Callable[[int, int], float], words: str) -> Measure:
        return _deviation(1 - value("flatness"), law, words, s.data)

    return (
        Claim("trained-peak",
            f"Trained encoders of {s.data} data have a percent error at D = {s.data} of at least 1.2 times that at "
            f"{below} and at {above}", f"{PAPER}, double descent at P = D; margin of a reproduction; claim 4.4.4",
            _peak("dimension", s.data, (below, above), "dimensions"), at_least(1.2),
            Control(f"at D = {above} against both its neighbours",
                _peak("dimension", above, s.dimensions, "dimensions"))),
        *(
            Claim(f"batch-peak-{views}",
                f"With {views} views and D = {s.data} the error over the batch is largest at P = D",
                f"{PAPER}, double descent in the batch; claim 4.4.5 (over the largest elsewhere)",
                _peak("data", s.data, s.batches, "batches", views=views), at_least(1.0),
                Control(f"at P = {above} instead", _peak("data", above, s.batches, "batches", views=views)))
            for views in s.views
        ),
        Claim("trained-is-uniform",
            "What an encoder reaches on fresh data is the flatness of uniform embeddings, not the bound",
            "derived here (largest deviation over dimensions; half the height of the peak over its neighbours)",
            off(uniform_percent_error, "the uniform law")(at("dimensions")), at_most(0.03),
            Control("the bound's flatness, 1", off(_no_error, "0"))),
        Claim("image-peak", f"On real images ({s.images}) the error peaks at D = P = {s.data} too",
            f"{PAPER}, double descent (its images are STL-10); over the largest elsewhere",
            _peak("dimension", s.data, s.image_dimensions, "image_dimensions"), at_least(1.0),
            Control(f"at D = {above} instead", _peak("dimension", above, s.image_dimensions, "image_dimensions"))),
    )  # fmt: skip


def straightness(curve: xr.DataArray) -> xr.DataArray:
    """Return R^2 of a straight line through log error over log step; 0 where the line rises."""
    x = xr.DataArray(np.log(curve.step.values), dims="step", coords={"step": curve.step})
    x, y = x - x.mean("step", skipna=False), xr.apply_ufunc(np.log, curve)
    y = y - y.mean("step", skipna=False)
    slope = (x * y).sum("step", skipna=False) / (x**2).sum("step", skipna=False)
    share: xr.DataArray = ((slope * x) ** 2).sum("step", skipna=False) / (y**2).sum("step", skipna=False) * (slope < 0)
    return share


def _scaling(s: ManifoldSettings) -> Sequence[Claim]:
    first = s.dimensions[0]
    learning, still = at("dimensions", dimension=first), Control("encoders that do not learn", at("still"))

    @partial(Measure, words="curve at the end over that at a quarter of the steps")
    def fall(cell: xr.Dataset) -> xr.DataArray:
        return cell["curve"].isel(step=-1) / cell["curve"].isel(step=-3)

    @partial(Measure, words="R^2 of log error over log step")
    def straight(cell: xr.Dataset) -> xr.DataArray:
        return straightness(cell.curve)

    return (
        Claim("error-falls", f"Far from P = D (D = {first}) four times the steps lower the error, by a tenth or more",
            f"{PAPER}, scaling in compute; claim 4.4.7 (ratio)", fall(learning), at_most(0.9), still),
        Claim("power-law", "Far from P = D the error is a power law in steps: R^2 of the straight line in logarithms",
            f"{PAPER}, compute scaling laws; 0.9 is ours", straight(learning), at_least(0.9), still),
    )  # fmt: skip


def _images(s: ManifoldSettings) -> Sequence[Claim]:
    same, other, untrained = at("images", views_of="same"), at("images", views_of="other"), at("untrained")
    probe = value("probe")
    return (
        Claim("images-uniform", "Test embeddings come within half a nat of the least uniformity there is",
            f"{PAPER}, Thm. 2.5 (uniformity is optimal); half a nat is ours",
            (value("uniformity") - uniform_potential(s.data))(same), at_most(0.5),
            Control("untrained encoders", untrained), unit="nat"),
        Claim("images-aligned",
            "Views of a test image lie closer than half the squared distance 2 of unrelated embeddings",
            f"{PAPER}, Thm. 2.5 (perfect reconstruction is optimal); the half is ours", value("alignment")(same),
            at_most(1.0), Control("trained on views of different images", other)),
        Claim("probe",
            f"With {s.labelled} labels a linear probe is better by 0.05 or more on the encoder than on pixels",
            "Yerxa et al. 2023 (linear probes, on other images); the margin is ours", (probe - value("pixels"))(same),
            at_least(0.05), Control("untrained encoders", untrained)),
        Claim("probe-needs-views",
            "The probe is better by 0.05 or more than after training on views of different images",
            "Yerxa et al. 2023 (the objective aligns views of one datum); the margin is ours",
            probe(same) - probe(other), at_least(0.05),
            Control("untrained encoders instead", probe(untrained) - probe(other))),
    )  # fmt: skip


def _pairs(s: ManifoldSettings) -> Sequence[Claim]:
    recall, mismatched = value("recall"), at("mismatched")
    mmcr, clip = at("pairs", objective="mmcr"), at("pairs", objective="contrastive")
    return (
        Claim("pairs-found",
            f"Encoders of {s.pairs} and of their names find held-out pairs: recall at 10, over chance",
            f"{PAPER}, image-text pairs; three times chance is ours", (recall / value("chance"))(mmcr), at_least(3.0),
            Control("trained with the names of other pictures", mismatched)),
        Claim("pairs-like-clip",
            f"At a batch of {s.data} the loss finds no fewer held-out pairs than CLIP's, by 0.02 (recall at 10)",
            f"{PAPER}, image-text pairs: better than CLIP at small batches; the margin is ours",
            recall(mmcr) - recall(clip), at_least(-0.02),
            Control("trained with the names of other pictures", recall(mismatched) - recall(clip))),
    )  # fmt: skip
