"""How many directions a layer passes on: the rank of its Jacobian, and of its weights where the data are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from phasescope.checks import as_points, number, whole
from phasescope.ensemble import streams
from phasescope.inspection.batches import fitted
from phasescope.inspection.blocks import blocks_of
from phasescope.instruments.calls import usable
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.given_back import BATCH_NORMS, module_of
from phasescope.instruments.neighbours import Points, moderate, rows_of
from phasescope.instruments.partial_jacobian import exact_partial_jacobian
from phasescope.representation.dimension import components
from phasescope.representation.isotropy_spectrum import FEWEST, Spectrum, jackknife
from phasescope.representation.places import chosen_names, no_samples
from phasescope.representation.readings import Measured, table
from phasescope.vocabulary import Array, BadInput

LARGEST = 4096
"""Entries of a place up to which its Jacobian is computed."""


def local_rank(
    module: nn.Module,
    batch: Any,
    *,
    places: Sequence[str] | None = None,
    tolerance: float = 1e-3,
    samples: int = 16,
) -> xr.Dataset:
    """Return the local rank of each place of ``module``: the mean rank of its Jacobian by the first block's input.

    Patel and Shwartz-Ziv 2024, arXiv:2410.07687: E_x of the number of singular values of dh(x)/dx above a threshold,
    here ``tolerance`` times the largest, so that it does not depend on the scale. Where the first block is given no
    floats, as an embedding is, the Jacobian is by what it answers. At most ``samples`` of ``batch``,
    evenly spaced, one at a time. ``places`` are names of modules, found as ``ps.inspect`` finds blocks if None. A
    Dataset (place): "rank", dimensionless, its standard "error" over samples, "null", the rank of a layer that loses
    nothing, min(width, width of the input), and "width". Bounds: [0, null]. Invariant to rotations and scale of input
    and place. The module is given back bit for bit. Raises ``BadInput`` for batch normalization that is training,
    places of more than 4,096 entries per sample, and what ``ps.inspect`` raises.
    """
    tolerance = number(0, 1, open_low=True, open_high=True)("tolerance", tolerance)
    most = whole(1, 10**6)("samples", samples)
    given = fitted(usable(batch), module_of(module))
    first = _first(given)
    chosen = range(len(first)) if len(first) <= most else [i * len(first) // most for i in range(most)]
    _one_by_one(module_of(module))
    names = chosen_names(module_of(module), places) if places is not None else _blocks(module, given)
    ranks: dict[str, list[float]] = {}
    widths: dict[str, int] = {}
    for row in chosen:
        with passage(module, _one(given, len(first), row), names) as found:
            for name in found.names:
                widths[name] = found.values[name].numel()
            _small(widths)
            begin, *later = found.names
            for name in later:
                values = torch.linalg.svdvals(exact_partial_jacobian(found, begin, name).double())
                ranks.setdefault(name, []).append(float((values > tolerance * values[0]).sum()))
    read = {name: np.array(values) for name, values in ranks.items()}
    columns = {
        "rank": [values.mean() for values in read.values()],
        "error": [_error(values) for values in read.values()],
        "null": [float(min(widths[begin], widths[name])) for name in read],
        "width": [float(widths[name]) for name in read],
    }
    data = xr.Dataset({key: ("place", values) for key, values in columns.items()}, coords={"place": list(read)})
    for key in data.data_vars:
        data[key].attrs = {"units": "1", "source": "representation.local_rank, arXiv:2410.07687"}
    data.attrs = {"tolerance": tolerance, "samples": len(chosen)}
    return data


def _one_by_one(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, BATCH_NORMS) and part.training:
            raise BadInput(
                f"the batch normalization {name or type(part).__name__!r} is in training mode, where a sample has no "
                "Jacobian of its own: call module.eval() first."
            )


def _blocks(module: nn.Module, batch: Any) -> list[str]:
    try:
        return list(blocks_of(module, batch))
    except BadInput as error:
        raise BadInput(str(error).replace("blocks=...", "places=...")) from error


def _error(values: Array) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _first(batch: Any) -> Tensor:
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple) else (batch,)
    found = next((part for part in parts if isinstance(part, Tensor) and part.dim() > 0 and len(part)), None)
    if found is None:
        raise no_samples(batch)
    return found


def _one(batch: Any, samples: int, row: int) -> Any:
    def cut(part: Any) -> Any:
        here = isinstance(part, Tensor) and part.dim() > 0 and len(part) == samples
        return part[row : row + 1] if here else part

    if isinstance(batch, Mapping):
        return {name: cut(part) for name, part in batch.items()}
    return tuple(map(cut, batch)) if isinstance(batch, tuple) else cut(batch)


def _small(widths: Mapping[str, int]) -> None:
    for name, width in widths.items():
        if width > LARGEST:
            raise BadInput(
                f"the place {name!r} has {width:,} entries per sample, and its Jacobian is computed entry by entry: "
                f"give smaller inputs, or places of at most {LARGEST:,}."
            )


@dataclass(frozen=True)
class Utilization:
    """How much of a layer the data use: ``rank`` and, over the smaller of its two widths, ``utilization``, a fraction.

    ``weights`` (K, D) are the layer's between the subspaces that inputs and outputs use, ``weight_rank`` its own rank
    before, and ``change`` the relative change of the outputs, root mean square.
    """

    rank: Measured
    utilization: Measured
    weight_rank: int
    change: float
    weights: Array

    def __str__(self) -> str:
        said = f"weights have rank {self.weight_rank}; outputs change by {self.change:.2g} of their size"
        return table({"rank": self.rank, "utilization": self.utilization}, said)


def utilized_rank(weights: Points, inputs: Points, *, share: float = 0.999, seed: int = 0) -> Utilization:
    """Return the rank of a layer's ``weights`` (K, D) where its ``inputs`` (N, D) are, and what of it is used.

    Garg et al. 2024, arXiv:2407.04797: W' = P W Q with the projections Q and P on the fewest principal axes of inputs
    x and outputs W x (not centred) that hold a ``share`` of their squares; the rank is the smaller of their numbers,
    at most that of W, and the utilization the rank over min(K, D). Dimensionless. Bounds: [1, min(K, D)], (0, 1].
    Null: white noise inputs, as many, drawn once. Invariant to rotations of either space, the scale of weights and
    inputs, and the order of rows. Errors of the uncut count leave out runs of rows in turn. ``change`` says what W'
    does to outputs: by at most about sqrt(1 - share) on each side. Raises ``BadInput`` for fewer than 8 inputs, and
    inputs or outputs that are all zero.
    """
    share = number(0, 1, open_low=True, open_high=True)("share", share)
    seed = whole(0, 2**63 - 1)("seed", seed)
    w, unit = moderate(as_points("weights", weights).detach().double().cpu())
    x = rows_of(inputs, FEWEST).cpu()
    if w.shape[1] != x.shape[1]:
        raise BadInput(
            f"weights have {w.shape[1]} columns and inputs {x.shape[1]}: give weights (K, D), inputs (N, D)."
        )
    if not bool(w.any()) or not bool((x @ w.T).any()):
        raise BadInput("all outputs are zero: give weights and inputs of which something is left.")
    values = torch.linalg.svdvals(w)
    own = int((values > torch.finfo(torch.float64).eps * max(w.shape) * values[0]).sum())
    noise = torch.from_numpy(streams(seed)("utilized rank").standard_normal(tuple(x.shape)))
    spectra = [Spectrum.of(rows, centred=False) for rows in (x, x @ w.T)]
    counts = [jackknife(one, lambda variances: components(variances, share)) for one in spectra]
    k = [min(math.ceil(value - 1e-9), own) for value, _ in counts]
    side = int(np.argmin(k))
    null = min(
        min(math.ceil(components(Spectrum.of(rows, centred=False).variances, share) - 1e-9), own)
        for rows in (noise, noise @ w.T)
    )
    axes = [one.axes[:, : math.ceil(value - 1e-9)] for one, (value, _) in zip(spectra, counts, strict=True)]
    used = axes[1] @ (axes[1].T @ w @ axes[0]) @ axes[0].T
    change = float((x @ (used - w).T).norm() / (x @ w.T).norm())
    most = min(w.shape)
    rank = Measured(float(k[side]), counts[side][1], float(null))
    part = Measured(k[side] / most, counts[side][1] / most, null / most)
    return Utilization(rank, part, own, change, (used * unit).numpy())
