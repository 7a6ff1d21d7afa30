"""Maximum manifold capacity representations. Schaeffer et al. 2024, arXiv:2406.09366; Yerxa et al. 2023.

Each of P data is seen in K views; their unit-norm embeddings are averaged, and the nuclear norm of the P x D matrix of
these centroids is made large. The percent error is what is missing from the bound sqrt(P min(P, D)).

Three worlds: embeddings drawn uniformly, where the error is known exactly; free embeddings that follow the gradient,
where it is known too (derived here); and encoders trained by Adam, on noisy views of Gaussian data (a reproduction's
world: 64 inputs, noise 0.5, an MLP with batch normalization) and on augmented real images with a linear probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies._manifold_capacity_claims import claims
from phasescope.studies._manifold_capacity_figures import figures
from phasescope.studies._manifold_capacity_training import (
    measure_bound,
    measure_free,
    measure_images,
    measure_pairs,
    measure_sweep,
    measure_uniform,
)
from phasescope.studies._study import Paper, Study
from phasescope.vocabulary import Grid, Positive, Settings

Count = Annotated[int, Field(ge=1)]
Sizes = Annotated[tuple[Count, ...], Field(min_length=1)]


class ManifoldSettings(Settings):
    """Sizes of the study. ``data`` is the batch P of the sweeps, ``dimensions`` must hold it, and 3/4 and 3/2 of it.

    ``pairs`` "emoji" adds pictures with their names, to be fetched by ``phasescope data emoji``.
    """

    seeds: Count = 10
    dimensions: Sizes = (8, 16, 24, 32, 48, 64, 128)
    batches: Sizes = (16, 24, 32, 48, 64, 128)
    views: Sizes = (2, 4)
    more_views: Sizes = (2, 4, 8)
    data: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    inputs: Count = 64
    noise: Annotated[float, Field(ge=0)] = 0.5
    width: Count = 128
    steps: Annotated[int, Field(ge=8)] = 400
    batch_steps: Annotated[int, Field(ge=8)] = 300
    last: Count = 50
    rate: Positive = 1e-3
    large: Sizes = (10, 20, 40, 79, 158, 316, 631)
    uniform_dimensions: Sizes = (8, 16, 32, 64, 96, 112, 128, 144, 160, 192, 256, 512, 1024)
    repeats: Count = 16
    draws: Count = 200
    horizon: Positive = 2.0
    images: Literal["digits", "fashion-mnist"] = "digits"
    image_steps: Annotated[int, Field(ge=8)] = 400
    image_dimensions: Sizes = (16, 24, 32, 48, 64)
    reach: Annotated[int, Field(ge=0)] = 1
    pixel_noise: Annotated[float, Field(ge=0)] = 0.3
    labelled: Annotated[int, Field(ge=10)] = 50
    label_draws: Count = 8
    pairs: Literal["", "emoji"] = ""
    pair_steps: Annotated[int, Field(ge=1)] = 1000


SCALES = {
    "pocket": ManifoldSettings(),
    "paper": ManifoldSettings(
        seeds=10,
        dimensions=(8, 16, 32, 48, 64, 80, 96, 128, 256),
        batches=(8, 16, 32, 48, 64, 96, 128, 256),
        more_views=(2, 4, 8, 16, 40),
        data=64,
        width=512,
        steps=5000,
        batch_steps=5000,
        large=(10, 20, 40, 79, 158, 316, 631, 1259, 2512),
        images="fashion-mnist",
        image_steps=5000,
        image_dimensions=(16, 32, 48, 64, 96, 128),
        reach=2,
        labelled=100,
        pairs="emoji",
        pair_steps=5000,
    ),
}


def edges(steps: int) -> tuple[int, ...]:
    """Return the ends of the windows over which errors are averaged: 1/16, 1/8, ... of ``steps``, and all."""
    return tuple(sorted({max(steps * part // 16, 1) for part in (1, 2, 4, 8, 16)}))


def experiments(s: ManifoldSettings) -> dict[str, Simulation]:
    """Return the study's experiments by name: exact worlds first, then trained encoders, then real images."""
    return {**_exact(s), **_sweeps(s), **_images(s), **(_pairs(s) if s.pairs else {})}


def _exact(s: ManifoldSettings) -> dict[str, Simulation]:
    error = Quantity("error", "1", "arXiv:2406.09366, Eq. 4")
    read = (error, Quantity("uniformity", "nat", "Wang and Isola 2020, Sec. 4.1"))
    bound = (
        Quantity("share", "1", "arXiv:2406.09366, Prop. 2.3"),
        Quantity("sine_law", "1", "derived here"),
        Quantity("cosine_law", "1", "control of sine_law"),
    )
    every, rate = 10, 0.02
    times = tuple(float(t) for t in np.arange(round(s.horizon / rate) // every + 1) * every * rate)
    path = (Quantity("error", "1", "arXiv:2406.09366, Eq. 4", ("time",), {"time": times}),)

    def uniform(title: str, repeats: int = 1, **axes: Sequence[int]) -> Simulation:
        return Simulation(title, measure_uniform, Grid(axes, seeds=s.seeds), read, {"repeats": repeats})

    return {
        "uniform": uniform("uniform embeddings of 128 data", s.repeats, data=(128,), dimension=s.uniform_dimensions),
        "square": uniform("uniform embeddings of 256 data", data=(256,), dimension=(256, 512)),
        "large": uniform("uniform embeddings over data and dimensions", data=s.large, dimension=s.large),
        "bound": Simulation(
            "all kinds of matrices", measure_bound, Grid({"norm": (1.0, 1.3)}, seeds=s.seeds), bound, {"draws": s.draws}
        ),
        "free": Simulation(
            "free embeddings under the gradient",
            measure_free,
            Grid({"dimension": (s.data // 2, s.data, 2 * s.data)}, seeds=s.seeds),
            path,
            {"data": s.data, "horizon": s.horizon, "rate": rate, "every": every},
        ),
    }


def _sweeps(s: ManifoldSettings) -> dict[str, Simulation]:
    def sweep(title: str, steps: int, axes: dict[str, Sequence[Any]], **fixed: Any) -> Simulation:
        ends = edges(steps)
        quantities = (
            Quantity("error", "1", "arXiv:2406.09366, Eq. 4; mean of the last batches"),
            Quantity("curve", "1", "arXiv:2406.09366, Eq. 4; mean since the step before", ("step",), {"step": ends}),
            Quantity("flatness", "1", "derived here"),
            Quantity("length", "1", "root mean squared norm of the centroids"),
        )
        common = {"inputs": s.inputs, "noise": s.noise, "width": s.width, "rate": s.rate, "last": min(s.last, steps)}
        numbers = {**common, "steps": steps, "edges": ends, **fixed}
        return Simulation(title, measure_sweep, Grid(axes, seeds=s.seeds), quantities, numbers)

    return {
        "dimensions": sweep("encoders over dimension", s.steps, {"dimension": s.dimensions}, data=s.data, views=2),
        "batches": sweep(
            "encoders over the batch", s.batch_steps, {"views": s.views, "data": s.batches}, dimension=s.data
        ),
        "views": sweep(
            "encoders over the number of views",
            s.batch_steps,
            {"views": s.more_views},
            data=2 * s.data,
            dimension=s.data,
        ),
        "still": sweep(
            "control: encoders that do not learn",
            s.steps,
            {"dimension": (s.dimensions[0],)},
            data=s.data,
            views=2,
            rate=0.0,
        ),
    }


def _images(s: ManifoldSettings) -> dict[str, Simulation]:
    names = {
        "error": ("1", "arXiv:2406.09366, Eq. 4; mean of the last batches"),
        "held_error": ("1", "arXiv:2406.09366, Eq. 4; a batch of test images"),
        "alignment": ("1", "Wang and Isola 2020, Sec. 4.1; test images"),
        "uniformity": ("nat", "Wang and Isola 2020, Sec. 4.1; test images"),
        "probe": ("1", "test accuracy of a linear probe with few labels, mean over draws of them"),
        "probe_all": ("1", "test accuracy of a linear probe with all labels"),
        "pixels": ("1", "test accuracy of the same probe on pixels, few labels"),
    }
    quantities = tuple(Quantity(name, *about) for name, about in names.items())

    def trained(title: str, axes: dict[str, Sequence[Any]], **fixed: Any) -> Simulation:
        common = {"images": s.images, "width": s.width, "reach": s.reach, "noise": s.pixel_noise, "rate": s.rate}
        numbers = {**common, "views_of": "same", "steps": s.image_steps, "last": min(s.last, s.image_steps)}
        numbers |= {"labelled": s.labelled, "label_draws": s.label_draws, "data": s.data, "views": 2, **fixed}
        return Simulation(title, measure_images, Grid(axes, seeds=s.seeds), quantities, numbers)

    probed = {"views": 4, "data": 2 * s.data, "dimension": s.data}
    return {
        "images": trained(f"encoders of {s.images}", {"views_of": ("same", "other")}, **probed),
        "untrained": trained(f"untrained encoders of {s.images}", {}, **{**probed, "steps": 0}),
        "image_dimensions": trained(f"encoders of {s.images} over dimension", {"dimension": s.image_dimensions}),
    }


def _pairs(s: ManifoldSettings) -> dict[str, Simulation]:
    quantities = (
        Quantity("loss", "1", "mean of the last 50 batches, of the loss that is trained"),
        Quantity("recall", "1", "share of held-out pairs found among 10, mean of both ways"),
        Quantity("chance", "1", "10 over the held-out pairs"),
    )
    fixed = {
        "pairs": s.pairs, "width": 2 * s.width, "dimension": 2 * s.data, "data": s.data, "rate": s.rate,
        "steps": s.pair_steps,
    }  # fmt: skip

    def trained(title: str, axes: dict[str, Sequence[Any]], **more: Any) -> Simulation:
        return Simulation(title, measure_pairs, Grid(axes, seeds=s.seeds), quantities, {**fixed, **more})

    return {
        "pairs": trained(f"{s.pairs} and their names", {"objective": ("mmcr", "contrastive")}, partner="own"),
        "mismatched": trained("control: names of other pictures", {}, objective="mmcr", partner="other"),
    }


STUDY = Study(
    name="manifold-capacity",
    title="Maximum manifold capacity representations",
    question="What limits the capacity of embeddings, and why is it worst when there are as many data as dimensions?",
    paper=Paper(
        authors="Rylan Schaeffer, Victor Lecomte, Dhruv Pai, Andres Carranza, Berivan Isik, et al.",
        year=2024,
        title="Towards an Improved Understanding and Utilization of Maximum Manifold Capacity Representations",
        link="https://arxiv.org/abs/2406.09366",
        bibtex=(
            "@article{schaeffer2024mmcr,\n"
            "  title   = {Towards an Improved Understanding and Utilization of Maximum Manifold Capacity "
            "Representations},\n"
            "  author  = {Schaeffer, Rylan and Lecomte, Victor and Pai, Dhruv Bhandarkar and others},\n"
            "  journal = {arXiv preprint arXiv:2406.09366},\n  year    = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "The paper trains ResNets on STL-10 and compares image-text pairs with CLIP; here are multilayer perceptrons "
        "on Gaussian data, on small grey images, and (pairs=emoji) on pictures of 16 x 16 pixels with their names. "
        "The exponents of its scaling laws are not known to us; we ask only whether the laws are straight."
    ),
)
