"""Gradients of single rows: how long each is (GraNd), and how much they have in common (m-coherence)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from phasescope.instruments.given_back import BATCH_NORMS
from phasescope.vocabulary import Array, BadInput

NUMBERS = 1 << 25  # of gradients held at once


def row_gradients(
    module: nn.Module, parameters: Mapping[str, Array], inputs: Tensor, labels: Tensor
) -> tuple[Tensor, float]:
    """Return the length of each row's gradient of the cross-entropy (N,), float64, and the m-coherence of all.

    The lengths are GraNd (Paul et al. 2021, arXiv:2107.07075); coherence is N |mean g|^2 / mean |g|^2,
    1 for orthogonal gradients and N for equal ones (Chatterjee and Zielinski 2020, arXiv:2008.01217). ``inputs`` (N,
    ...), ``labels`` (N,) int64. Exact, some rows at a time. Raises ``BadInput`` where batch normalization couples rows.
    """
    coupled = next((name for name, part in module.named_modules() if isinstance(part, BATCH_NORMS)), None)
    if coupled is not None:
        raise BadInput(f"{coupled} normalizes over the batch: a row has no gradient of its own in this network.")
    now = {name: torch.from_numpy(value).to(inputs.device) for name, value in parameters.items()}
    rest = {name: p.detach() for name, p in module.named_parameters() if name not in now}
    rest |= dict(module.named_buffers())

    def loss(learnt: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(module, {**rest, **learnt}, (x[None],)), y[None])

    each = vmap(grad(loss), (None, 0, 0), randomness="error")
    step = max(1, NUMBERS // sum(value.numel() for value in now.values()))
    squares, total = [], dict.fromkeys(now, 0.0)
    was = module.training
    module.eval()
    try:
        for start in range(0, len(inputs), step):
            found = each(now, inputs[start : start + step], labels[start : start + step])
            squares.append(sum(g.detach().double().flatten(1).square().sum(1) for g in found.values()))
            total = {name: total[name] + found[name].detach().double().sum(0) for name in found}
    finally:
        module.train(was)
    lengths = torch.cat(squares)
    mean: Any = sum((value / len(inputs)).square().sum() for value in total.values())  # type: ignore[attr-defined]
    return lengths.sqrt(), float(len(inputs) * mean / lengths.mean())
