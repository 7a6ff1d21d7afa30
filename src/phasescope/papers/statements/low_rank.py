"""How many directions a network's layers pass on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from phasescope.ensemble import streams
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import exact_partial_jacobian
from phasescope.papers.statement import Compared, exactly, statement
from phasescope.verdict import Source


@statement(
    "003-123",
    "The local rank, that of a layer's Jacobian at an input, is the width of a linear bottleneck before it",
    Source(
        paper="Patel and Shwartz-Ziv 2024, arXiv:2410.07687, local rank",
        derived="a product of matrices has the rank of the narrowest, almost surely",
        tolerance="none: a rank, of singular values above 1e-9 of the largest",
    ),
)
def bottleneck() -> Iterator[Compared]:
    """Linear layers 20, k, 20: the Jacobian of the last by the first layer's output, at one input."""
    for width in (1, 5, 12):
        net = nn.Sequential(*(nn.Linear(a, b, dtype=torch.float64) for a, b in ((20, 20), (20, width), (width, 20))))
        with torch.no_grad():
            for i, parameter in enumerate(net.parameters()):
                parameter.copy_(torch.from_numpy(streams(1)("weights", i).standard_normal(tuple(parameter.shape))))
        batch = torch.from_numpy(streams(1)("input").standard_normal((1, 20)))
        with passage(net, batch, ["0", "1", "2"]) as found:
            values = torch.linalg.svdvals(exact_partial_jacobian(found, "0", "2"))
        yield exactly(f"local rank behind a bottleneck of {width}", (values > 1e-9 * values[0]).sum(), width)
