"""Neural collapse: how far features of a class agree, and how class means and readout arrange. Plain tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phasescope.checks import as_labels, as_points, shown
from phasescope.directions import unit
from phasescope.instruments.neighbours import Points
from phasescope.vocabulary import BadInput


@dataclass(frozen=True)
class NeuralCollapse:
    """The four measures of neural collapse, each () in the features' dtype.

    ``variability``: tr(S_W) / tr(S_B), variance within classes over variance between their means (NC1; 0 collapsed).
    ``cosine`` and ``cosine_spread``: mean and standard deviation of the cosines between centred class means (NC2; -1/(K
    - 1) and 0 for a simplex). ``length_spread``: standard deviation over mean of their norms (NC2; 0). ``duality``: the
    distance between readout and class means, each centred and of Frobenius norm 1 (NC3; 0 to 2; NaN without a readout).
    None depends on the scale of the features. NaN where a class mean, or all, have no direction from the mean of all.
    """

    variability: Tensor
    cosine: Tensor
    cosine_spread: Tensor
    length_spread: Tensor
    duality: Tensor


def neural_collapse(features: Points, labels: Points, readout: Points | None = None) -> NeuralCollapse:
    """Return the neural collapse of ``features`` (N, F) with integer ``labels`` (N,), and of ``readout`` (K, F).

    Labels count classes from 0 to K - 1, each there. Differentiable. Papyan, Han and Donoho 2020, arXiv:2008.08186.
    Raises ``BadInput`` for wrong shapes, fewer than two classes or a class without samples.
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
    features = _summable(features)
    hot = torch.nn.functional.one_hot(labels, classes).to(features.dtype)
    means = hot.T @ features / counts[:, None]
    centred = means - means.mean(0)
    # nothing here depends on a common scale: with the largest entry taken out no square leaves the floats
    largest = centred.detach().abs().max()
    largest = torch.where(largest > 0, largest, 1.0)
    within = ((features - means[labels]) / largest).square().sum(1).mean()
    between = (centred / largest).square().sum(1).mean()
    norms = (centred / largest).norm(dim=1)
    directed = unit(centred, zeros=torch.nan)
    cosines = (directed @ directed.T)[~torch.eye(classes, dtype=torch.bool, device=features.device)]
    return NeuralCollapse(
        within / between,
        cosines.mean(),
        cosines.std(correction=0),
        norms.std(correction=0) / norms.mean(),
        _duality(centred, readout),
    )


def _duality(centred: Tensor, readout: Tensor | None) -> Tensor:
    if readout is None:
        return torch.full((), torch.nan, dtype=centred.dtype, device=centred.device)
    readout = _summable(readout)
    weights, means = (unit(x.flatten(), zeros=torch.nan) for x in (readout - readout.mean(0), centred))
    apart: Tensor = (weights - means).square().sum().sqrt()
    return apart


def _summable(rows: Tensor) -> Tensor:
    """Return ``rows``, divided by their largest entry if that is so large that a sum might leave the floats."""
    largest = rows.detach().abs().max()
    return rows / torch.where(largest > torch.finfo(rows.dtype).max * 1e-8, largest, 1.0)
