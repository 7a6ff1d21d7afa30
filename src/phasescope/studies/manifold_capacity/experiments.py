"""The experiments of ``manifold-capacity``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.manifold_capacity.settings import ManifoldSettings
from phasescope.studies.manifold_capacity.training import (
    measure_bound,
    measure_free,
    measure_images,
    measure_pairs,
    measure_sweep,
    measure_uniform,
)
from phasescope.vocabulary import Grid


def edges(steps: int, parts: int = 16) -> tuple[int, ...]:
    """Return the ends of the windows over which errors are averaged: 1/``parts``, twice that, ... of ``steps``."""
    return tuple(sorted({max(steps >> halvings, 1) for halvings in range(parts.bit_length())}))


def experiments(s: ManifoldSettings) -> dict[str, Simulation]:
    """Return the study's experiments by name: exact worlds first, then trained encoders, then real images."""
    return {**_exact(s), **_sweeps(s), **_images(s), **(_pairs(s) if s.pairs else {})}


def _exact(s: ManifoldSettings) -> dict[str, Simulation]:
    error = Quantity("error", "1", "arXiv:2406.09366, Eq. 4")
    read = (error, Quantity("uniformity", "nat", "Wang and Isola 2020, Sec. 4.1"))
    bound = (
        Quantity("share", "1", "nuclear norm over sqrt(P min(P, D)), largest"),
        Quantity("over_uniform", "1", "nuclear norm over what uniform embeddings reach, largest"),
    )
    every, rate = 10, 0.02
    times = tuple(float(t) for t in np.arange(round(s.horizon / rate) // every + 1) * every * rate)
    path = (Quantity("error", "1", "arXiv:2406.09366, Eq. 4", ("time",), {"time": times}),)

    def uniform(title: str, repeats: int = 1, **axes: Sequence[int]) -> Simulation:
        return Simulation(title, measure_uniform, Grid(axes, seeds=s.seeds), read, {"repeats": repeats})

    return {
        "uniform": uniform("uniform embeddings of 128 data", s.repeats, data=(128,), dimension=s.uniform_dimensions),
        "square": uniform("uniform embeddings of 256 data", data=(256,), dimension=(256, 288)),
        "large": uniform("uniform embeddings over data and dimensions", data=s.large, dimension=s.large),
        "bound": Simulation(
            "all kinds of matrices", measure_bound, Grid(seeds=s.seeds), bound, {"draws": s.draws}, kind="identity"
        ),
        "free": Simulation(
            "free embeddings under the gradient",
            measure_free,
            Grid({"dimension": s.free_dimensions}, seeds=s.seeds),
            path,
            {"data": s.data, "horizon": s.horizon, "rate": rate, "every": every},
        ),
    }


def _sweeps(s: ManifoldSettings) -> dict[str, Simulation]:
    def sweep(title: str, steps: int, axes: dict[str, Sequence[Any]], parts: int = 16, **fixed: Any) -> Simulation:
        ends = edges(steps, parts)
        quantities = (
            Quantity("error", "1", "arXiv:2406.09366, Eq. 4; mean of the last batches"),
            Quantity("curve", "1", "arXiv:2406.09366, Eq. 4; mean since the step before", ("step",), {"step": ends}),
            Quantity("flatness", "1", "derived here"),
            Quantity("length", "1", "root mean squared norm of the centroids"),
        )
        common = {"inputs": s.inputs, "noise": s.noise, "width": s.width, "rate": s.rate, "last": min(s.last, steps)}
        numbers = {**common, "steps": steps, "edges": ends, **fixed}
        learns = "trained" if numbers["rate"] else "simulation"
        return Simulation(title, measure_sweep, Grid(axes, seeds=s.seeds), quantities, numbers, kind=learns)

    below, above = s.data * 3 // 4, s.data * 3 // 2
    near_by, first = (below, s.data, above), (s.dimensions[0],)

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
        "more_data": sweep(
            f"control: {above} data over dimension", s.steps, {"dimension": near_by}, data=above, views=2
        ),
        "more_dimensions": sweep(
            f"control: {above} dimensions over the batch",
            s.batch_steps,
            {"views": s.views, "data": near_by},
            dimension=above,
        ),
        "fresh": sweep(
            "control: encoders before training", 1, {"dimension": s.dimensions}, data=s.data, views=2, rate=0.0
        ),
        "long": sweep(
            "encoders far from P = D, for longer", s.long_steps, {"dimension": first}, 128, data=s.data, views=2
        ),
        "still": sweep(
            "control: encoders that do not learn",
            s.long_steps,
            {"dimension": first},
            128,
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
        learns = "trained" if numbers["steps"] else "simulation"
        return Simulation(title, measure_images, Grid(axes, seeds=s.seeds), quantities, numbers, kind=learns)

    above = s.data * 3 // 2
    probed = {"views": 4, "data": 2 * s.data, "dimension": s.data}
    return {
        "images": trained(f"encoders of {s.images}", {"views_of": ("same", "other")}, **probed),
        "untrained": trained(f"untrained encoders of {s.images}", {}, **{**probed, "steps": 0}),
        "image_dimensions": trained(f"encoders of {s.images} over dimension", {"dimension": s.image_dimensions}),
        "more_images": trained(f"control: {above} data of {s.images}", {"dimension": (s.data, above)}, data=above),
    }


def _pairs(s: ManifoldSettings) -> dict[str, Simulation]:
    quantities = (
        Quantity("loss", "1", "mean of the last 50 batches, of the loss that is trained"),
        Quantity("recall", "1", "fraction of held-out pairs found among 10, mean of both ways"),
        Quantity("chance", "1", "10 over the held-out pairs"),
    )
    fixed = {
        "pairs": s.pairs, "width": 2 * s.width, "dimension": 2 * s.data, "data": s.data, "rate": s.rate,
        "steps": s.pair_steps,
    }  # fmt: skip

    def trained(title: str, axes: dict[str, Sequence[Any]], **more: Any) -> Simulation:
        numbers = {**fixed, **more}
        return Simulation(title, measure_pairs, Grid(axes, seeds=s.seeds), quantities, numbers, kind="trained")

    return {
        "pairs": trained(f"{s.pairs} and their names", {"objective": ("mmcr", "contrastive")}, partner="own"),
        "mismatched": trained("control: names of other pictures", {}, objective="mmcr", partner="other"),
    }
