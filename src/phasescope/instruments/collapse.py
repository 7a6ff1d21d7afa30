"""Neural collapse: how far features of a class agree, and how class means and readout arrange. Plain tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phasescope.checks import as_labels, as_points, shown
from phasescope.directions import unit
from phasescope.instruments.neighbours import Points
from phasescope.vocabulary import BadInput

__all__ = ["NeuralCollapse", "neural_collapse"]


@dataclass(frozen=True)
class NeuralCollapse:
    """The measures of neural collapse, each () in the features' dtype, float32 for half precision.

    All give each class the same weight, whatever its number of samples, as do data with equally many of each, for which
    the measures were defined: S_W is the mean over classes of the covariance within a class, S_B the covariance of the
    class means, both with 1/n, and the centre is the mean of the class means.

    ``nc1``: tr(S_W S_B^+) / K, with the pseudoinverse and K classes, as in Papyan, Han and Donoho 2020 (NC1; 0
    collapsed). It weighs each direction by how little the class means differ there, and sees none where they do not
    differ at all. ``variance_ratio``: tr(S_W) / tr(S_B), which sees all directions alike; 0 where ``nc1`` is, and
    otherwise another number, often several times as large. ``cosine`` and ``cosine_spread``: mean and standard
    deviation of the cosines between centred class means (NC2; -1/(K - 1) and 0 for a simplex). ``length_spread``:
    standard deviation over mean of their norms (NC2; 0). ``duality``: the distance between readout and class means,
    each centred and of Frobenius norm 1 (NC3; 0 to 2; NaN without a readout).

    None depends on the scale of the features. A class mean that differs from the mean of all by no more than rounding
    has no direction, and the cosines are NaN; where all class means agree so, every measure is NaN.
    """

    nc1: Tensor
    variance_ratio: Tensor
    cosine: Tensor
    cosine_spread: Tensor
    length_spread: Tensor
    duality: Tensor


def neural_collapse(features: Points, labels: Points, readout: Points | None = None) -> NeuralCollapse:
    """Return the neural collapse of ``features`` (N, F) with integer ``labels`` (N,), and of ``readout`` (K, F).

    Labels count classes from 0 to K - 1, each there; floats that are whole numbers will do. Differentiable. Sums are
    taken in float64. Papyan, Han and Donoho 2020, arXiv:2008.08186; its text was not at hand, and its definition of NC1
    is taken from works that quote it. Raises ``BadInput`` for wrong shapes, values that are not finite, labels that are
    no whole numbers from 0 on, fewer than two classes or a class without samples.
    """
    features = as_points("features", features)
    labels = as_labels("labels", labels, count=len(features)).to(features.device)
    if readout is not None:
        readout = as_points("readout", readout).to(features)
    classes = int(labels.max()) + 1
    counts = torch.bincount(labels, minlength=classes)
    if classes < 2 or int(counts.min()) == 0 or (readout is not None and readout.shape != (classes, features.shape[1])):
        raise BadInput(
            f"{classes} classes with {shown(counts.tolist())} samples, readout "
            f"{None if readout is None else tuple(readout.shape)}: give at least two classes, a sample of each, and a "
            "readout (K, F)."
        )
    rounding = max(torch.finfo(features.dtype).eps, 1e-14)
    rows, share = _sized(features.double())[0], (classes * counts[labels]).double().reciprocal()
    means = torch.nn.functional.one_hot(labels, classes).double().T @ rows / counts[:, None]
    between, noise = _centred(means, rows, rounding)
    within, between, noise = _sized(rows - means[labels], between, noise)
    norms, directed = between.norm(dim=1), unit(between, zeros=torch.nan)
    cosines = (directed @ directed.T)[~torch.eye(classes, dtype=torch.bool, device=features.device)]
    found = (
        _nc1(within, between, share, noise),
        (within.square().sum(1) * share).sum() / between.square().sum(1).mean(),
        cosines.mean(),
        cosines.std(correction=0),
        norms.std(correction=0) / norms.mean(),
        _duality(between, readout, rounding),
    )
    equal = (between == 0).all()
    return NeuralCollapse(*(torch.where(equal, torch.nan, measure).to(features.dtype) for measure in found))


def _nc1(within: Tensor, between: Tensor, share: Tensor, noise: Tensor) -> Tensor:
    """Return tr(S_W S_B^+) / K of rows ``within`` (N, F), each with its ``share``, and ``between`` (K, F).

    With the centred class means as rows of M, S_B = M' M / K and S_B^+ / K = M^+ M^+'. M is turned by a reflection so
    that its mean row, which is zero, is left out; singular values that ``noise`` (F,) alone would give count as zero.
    """
    classes = len(between)
    mirror = torch.full((classes, 1), classes**-0.5, dtype=between.dtype, device=between.device)
    mirror[0] -= 1
    reflected = between - mirror @ (mirror.T @ between) * (2 / mirror.square().sum())
    inverse = torch.linalg.pinv(reflected[1:], atol=classes**0.5 * noise.norm(), rtol=0.0)
    traced: Tensor = ((within @ inverse).square().sum(1) * share).sum()
    return traced


def _duality(between: Tensor, readout: Tensor | None, rounding: float) -> Tensor:
    if readout is None:
        return torch.full((), torch.nan, dtype=between.dtype, device=between.device)
    rows = _sized(readout.double())[0]
    rows, _ = _centred(rows, rows, rounding)
    weights, means = (unit(x.flatten(), zeros=torch.nan) for x in (rows, between))
    apart: Tensor = (weights - means).square().sum().sqrt()
    return apart


def _centred(means: Tensor, rows: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
    """Return ``means`` (K, F) less their mean, and the size (F,) of the rounding of ``rows`` in it.

    Both are 0 in columns, and the first also in rows, in which nothing differs by more than that.
    """
    centred, noise = means - means.mean(0), rows.detach().abs().amax(0) * rounding
    nothing = centred.detach().abs() <= noise
    same = nothing.all(0)
    return centred.masked_fill(same | nothing.all(1, keepdim=True), 0.0), noise.masked_fill(same, 0.0)


def _sized(*parts: Tensor) -> tuple[Tensor, ...]:
    """Return ``parts`` over the largest entry of all, so that no sum or square leaves the floats; 0 stays 0."""
    largest = torch.stack([part.detach().abs().max() for part in parts]).max()
    return tuple(part / torch.where(largest > 0, largest, 1.0) for part in parts)
