"""The claims of the study ``manifold-capacity``: each an effect per seed, an expectation fixed here, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from phasescope import theory
from phasescope.lab.study import part
from phasescope.studies.manifold_capacity.settings import ManifoldSettings
from phasescope.verdict import Claim, Control, Expectation
from phasescope.vocabulary import Array

PAPER = "Schaeffer et al. 2024"


def claims(s: ManifoldSettings) -> Sequence[Claim]:
    """Return the study's claims for these settings."""
    found = (*_bound(s), *_uniform(s), *_free(s), *_trained(s), *_scaling(s), *_images(s))
    return (*found, *_pairs(s)) if s.pairs else found


def _bound(s: ManifoldSettings) -> Sequence[Claim]:
    def share(d: xr.Dataset, norm: float) -> Array:
        return np.asarray(part(d, "bound").share.sel(norm=norm).values)

    def law(d: xr.Dataset, name: str) -> Array:
        return np.asarray(part(d, "bound")[name].sel(norm=1.0).values)

    return (
        Claim(
            "bound",
            f"The nuclear norm of {s.draws} matrices of all kinds with rows in the unit ball is at most "
            "sqrt(P min(P, D))",
            f"{PAPER}, Prop. 2.3; claim 4.4.1 (rounding allowed)",
            lambda d: share(d, 1.0),
            Expectation.at_most(1 + 1e-9),
            Control("the same with rows of norm up to 1.3", lambda d: share(d, 1.3)),
            unit="of the bound",
        ),
        Claim(
            "two-rows",
            "Two unit rows at an angle have the nuclear norm sqrt(2 + 2 |sin angle|)",
            "derived here; claim 4.4.6 (largest deviation, rounding allowed)",
            lambda d: law(d, "sine_law"),
            Expectation.at_most(1e-9),
            Control("the same with the cosine", lambda d: law(d, "cosine_law")),
        ),
    )


def _deviation(d: xr.Dataset, law: object) -> Array:
    error = part(d, "uniform").error.isel(data=0)
    predicted = xr.DataArray([law(128, int(n)) for n in error.dimension.values], dims="dimension")  # type: ignore[operator]
    return np.asarray(abs(error - predicted.assign_coords(dimension=error.dimension)).max("dimension").values)


def _peak(error: xr.DataArray, dim: str, at: int, others: Sequence[int]) -> xr.DataArray:
    """Return the error at ``at`` over the largest one at ``others``: above 1 where ``at`` is the peak."""
    rest = [n for n in others if n != at]
    return error.sel({dim: at}, drop=True) / error.sel({dim: rest}).max(dim)


def _peaks(d: xr.Dataset, s: ManifoldSettings, shift: int) -> Array:
    error = part(d, "large").error
    places = range(1, len(s.large) - 1)  # a peak needs a neighbour on either side
    found = [_peak(error.sel(data=s.large[i], drop=True), "dimension", s.large[i + shift], s.large) for i in places]
    return np.asarray(xr.concat(found, "place").min("place").values)


def _uniform(s: ManifoldSettings) -> Sequence[Claim]:
    def error(d: xr.Dataset, where: str, dimension: int) -> Array:
        return np.asarray(part(d, where).error.isel(data=0).sel(dimension=dimension).values)

    def potential(d: xr.Dataset, t: float) -> Array:
        seen = part(d, "uniform").uniformity.isel(data=0).sel(dimension=64)
        return np.asarray(seen.values) - theory.uniform_potential(64, t)

    last = s.uniform_dimensions[-1]
    wide = theory.uniform_percent_error(128, last)
    return (
        Claim(
            "uniform-peak",
            "256 uniform embeddings in 256 dimensions miss 1 - 8/(3 pi) = 15.12 % of the bound",
            "derived here (Marchenko-Pastur); claim 4.4.2 (tolerance of the finite size)",
            lambda d: error(d, "square", 256),
            Expectation.near(0.1511, 0.002),
            Control("in 512 dimensions", lambda d: error(d, "square", 512)),
        ),
        Claim(
            "uniform-wide",
            f"128 uniform embeddings in {last} dimensions miss about c/8: {wide:.4f}",
            f"{PAPER}, Thm. 2.5, as an exact limit derived here; claim 4.4.2",
            lambda d: error(d, "uniform", last),
            Expectation.near(wide, 0.0005),
            Control("in 128 dimensions", lambda d: error(d, "uniform", 128)),
        ),
        Claim(
            "uniform-curve",
            "Over all dimensions the error of 128 uniform embeddings is 1 - 2F1(1/2, -1/2; 2; c), c the ratio of sizes",
            f"derived here; claim 4.4.2 (largest deviation over dimensions, of means of {s.repeats})",
            lambda d: _deviation(d, theory.uniform_percent_error),
            Expectation.at_most(0.003),
            Control("its leading order c/8, which has the theorem's form", lambda d: _deviation(d, _leading)),
        ),
        Claim(
            "uniform-double-descent",
            "For every number of data the error over dimensions peaks where both are equal, for uniform embeddings",
            f"{PAPER}, App. B; claim 4.4.3 (error at the peak over the largest elsewhere, smallest over curves)",
            lambda d: _peaks(d, s, 0),
            Expectation.at_least(1.0),
            Control("at the next dimension instead", lambda d: _peaks(d, s, 1)),
        ),
        Claim(
            "least-potential",
            "The uniformity of uniform embeddings is -2t + log 0F1(D/2; t^2), at t = 2 and D = 64",
            "Wang and Isola 2020, Sec. 4.1; closed form derived here; difference in nats",
            lambda d: potential(d, 2.0),
            Expectation.near(0.0, 0.02),
            Control("the closed form at t = 1", lambda d: potential(d, 1.0)),
            unit="nat",
        ),
    )


def _leading(data: int, dimension: int) -> float:
    return min(data, dimension) / max(data, dimension) / 8


def _free(s: ManifoldSettings) -> Sequence[Claim]:
    def path(d: xr.Dataset, speed: float) -> Array:
        error = part(d, "free").error
        worst = []
        for run in error.transpose("dimension", "seed", "time"):
            times = speed * run.time.values
            worst.append([
                np.abs(one - theory.free_percent_error(one[0], times, s.data, int(run.dimension))).max()
                for one in run.values
            ])  # fmt: skip
        return np.asarray(np.max(worst, 0))

    def at_peak(d: xr.Dataset, time: int) -> Array:
        return np.asarray(part(d, "free").error.sel(dimension=s.data).isel(time=time).values)

    return (
        Claim(
            "free-flow",
            "Free embeddings follow the tanh law: dq/dt = sqrt(n/P) (1 - q^2) for the share q of the bound",
            "derived here; exact for a fixed sum of squared norms, an upper bound for unit rows (largest deviation)",
            lambda d: path(d, 1.0),
            Expectation.at_most(0.005),
            Control("the law at twice the speed", lambda d: path(d, 2.0)),
        ),
        Claim(
            "free-has-no-peak",
            "At P = D free embeddings lose nine tenths of their error: nothing forbids the bound there",
            f"{PAPER}, Prop. 2.3 is attained; derived here (error at the end)",
            lambda d: at_peak(d, -1) / at_peak(d, 0),
            Expectation.at_most(0.1),
            Control("an eighth of the way", lambda d: at_peak(d, len(part(d, "free").time) // 8) / at_peak(d, 0)),
            unit="of the start",
        ),
    )


def _trained(s: ManifoldSettings) -> Sequence[Claim]:
    below, above = s.data * 3 // 4, s.data * 3 // 2

    def over_dimension(d: xr.Dataset, at: int, others: Sequence[int], where: str = "dimensions") -> Array:
        return np.asarray(_peak(part(d, where).error, "dimension", at, others).values)

    def over_batch(d: xr.Dataset, views: int, at: int) -> Array:
        return np.asarray(_peak(part(d, "batches").error.sel(views=views), "data", at, s.batches).values)

    def flatness(d: xr.Dataset, law: object) -> Array:
        seen = part(d, "dimensions").flatness
        predicted = [1 - law(s.data, int(n)) for n in seen.dimension.values]  # type: ignore[operator]
        return np.asarray(abs(seen - xr.DataArray(predicted, dims="dimension")).max("dimension").values)

    return (
        Claim(
            "trained-peak",
            f"Trained encoders of {s.data} data have a percent error at D = {s.data} of at least 1.2 times that at "
            f"{below} and at {above}",
            f"{PAPER}, double descent at P = D; margin of a reproduction; claim 4.4.4",
            lambda d: over_dimension(d, s.data, (below, above)),
            Expectation.at_least(1.2),
            Control(f"at D = {above} against both its neighbours", lambda d: over_dimension(d, above, s.dimensions)),
        ),
        *(
            Claim(
                f"batch-peak-{views}",
                f"With {views} views and D = {s.data} the error over the batch is largest at P = D",
                f"{PAPER}, double descent in the batch; claim 4.4.5 (over the largest elsewhere)",
                partial(over_batch, views=views, at=s.data),
                Expectation.at_least(1.0),
                Control(f"at P = {above} instead", partial(over_batch, views=views, at=above)),
            )
            for views in s.views
        ),
        Claim(
            "trained-is-uniform",
            "What an encoder reaches on fresh data is the flatness of uniform embeddings, not the bound",
            "derived here (largest deviation over dimensions; half the height of the peak over its neighbours)",
            lambda d: flatness(d, theory.uniform_percent_error),
            Expectation.at_most(0.03),
            Control("the bound's flatness, 1", lambda d: flatness(d, lambda data, dimension: 0.0)),
        ),
        Claim(
            "image-peak",
            f"On real images ({s.images}) the error peaks at D = P = {s.data} too",
            f"{PAPER}, double descent (its images are STL-10); over the largest elsewhere",
            lambda d: over_dimension(d, s.data, s.image_dimensions, "image_dimensions"),
            Expectation.at_least(1.0),
            Control(
                f"at D = {above} instead",
                lambda d: over_dimension(d, above, s.image_dimensions, "image_dimensions"),
            ),
        ),
    )


def straightness(curve: xr.DataArray) -> xr.DataArray:
    """Return R^2 of a straight line through log error over log step; 0 where the line rises."""
    x = xr.DataArray(np.log(curve.step.values), dims="step", coords={"step": curve.step})
    x, y = x - x.mean("step"), xr.apply_ufunc(np.log, curve)
    y = y - y.mean("step")
    slope = (x * y).sum("step") / (x**2).sum("step")
    share: xr.DataArray = ((slope * x) ** 2).sum("step") / (y**2).sum("step") * (slope < 0)
    return share


def _scaling(s: ManifoldSettings) -> Sequence[Claim]:
    first = s.dimensions[0]

    def curve(d: xr.Dataset, where: str) -> xr.DataArray:
        return part(d, where)["curve"].sel(dimension=first)

    def fall(d: xr.Dataset, where: str) -> Array:
        seen = curve(d, where)
        return np.asarray((seen.isel(step=-1) / seen.isel(step=-3)).values)

    return (
        Claim(
            "error-falls",
            f"Far from P = D (D = {first}) four times the steps lower the error, by a tenth or more",
            f"{PAPER}, scaling in compute; claim 4.4.7 (ratio)",
            lambda d: fall(d, "dimensions"),
            Expectation.at_most(0.9),
            Control("encoders that do not learn", lambda d: fall(d, "still")),
        ),
        Claim(
            "power-law",
            "Far from P = D the error is a power law in steps: R^2 of the straight line in logarithms",
            f"{PAPER}, compute scaling laws; 0.9 is ours",
            lambda d: np.asarray(straightness(curve(d, "dimensions")).values),
            Expectation.at_least(0.9),
            Control("encoders that do not learn", lambda d: np.asarray(straightness(curve(d, "still")).values)),
        ),
    )


def _images(s: ManifoldSettings) -> Sequence[Claim]:
    def read(d: xr.Dataset, name: str, views_of: str) -> Array:
        found = part(d, "images")[name].sel(views_of=views_of) if views_of else part(d, "untrained")[name]
        return np.asarray(found.values)

    least = theory.uniform_potential(s.data)
    return (
        Claim(
            "images-uniform",
            "Test embeddings come within half a nat of the least uniformity there is",
            f"{PAPER}, Thm. 2.5 (uniformity is optimal); half a nat is ours",
            lambda d: read(d, "uniformity", "same") - least,
            Expectation.at_most(0.5),
            Control("untrained encoders", lambda d: read(d, "uniformity", "") - least),
            unit="nat",
        ),
        Claim(
            "images-aligned",
            "Views of a test image lie closer than half the squared distance 2 of unrelated embeddings",
            f"{PAPER}, Thm. 2.5 (perfect reconstruction is optimal); the half is ours",
            lambda d: read(d, "alignment", "same"),
            Expectation.at_most(1.0),
            Control("trained on views of different images", lambda d: read(d, "alignment", "other")),
        ),
        Claim(
            "probe",
            f"With {s.labelled} labels a linear probe is better by 0.05 or more on the encoder than on pixels",
            "Yerxa et al. 2023 (linear probes, on other images); the margin is ours",
            lambda d: read(d, "probe", "same") - read(d, "pixels", "same"),
            Expectation.at_least(0.05),
            Control("untrained encoders", lambda d: read(d, "probe", "") - read(d, "pixels", "")),
        ),
        Claim(
            "probe-needs-views",
            "The probe is better by 0.05 or more than after training on views of different images",
            "Yerxa et al. 2023 (the objective aligns views of one datum); the margin is ours",
            lambda d: read(d, "probe", "same") - read(d, "probe", "other"),
            Expectation.at_least(0.05),
            Control("untrained encoders instead", lambda d: read(d, "probe", "") - read(d, "probe", "other")),
        ),
    )


def _pairs(s: ManifoldSettings) -> Sequence[Claim]:
    def gain(d: xr.Dataset) -> Array:
        run = part(d, "pairs").sel(objective="mmcr")
        return np.asarray((run.recall / run.chance).values)

    def shuffled(d: xr.Dataset) -> Array:
        run = part(d, "mismatched")
        return np.asarray((run.recall / run.chance).values)

    def lead(d: xr.Dataset) -> Array:
        recall = part(d, "pairs").recall
        return np.asarray((recall.sel(objective="mmcr") - recall.sel(objective="contrastive")).values)

    return (
        Claim(
            "pairs-found",
            f"Encoders of {s.pairs} and of their names find held-out pairs: recall at 10, over chance",
            f"{PAPER}, image-text pairs; three times chance is ours",
            gain,
            Expectation.at_least(3.0),
            Control("trained with the names of other pictures", shuffled),
        ),
        Claim(
            "pairs-like-clip",
            f"At a batch of {s.data} the loss finds no fewer held-out pairs than CLIP's, by 0.02 (recall at 10)",
            f"{PAPER}, image-text pairs: better than CLIP at small batches; the margin is ours",
            lead,
            Expectation.at_least(-0.02),
            Control(
                "trained with the names of other pictures",
                lambda d: np.asarray(
                    (part(d, "mismatched").recall - part(d, "pairs").recall.sel(objective="contrastive")).values
                ),
            ),
        ),
    )
