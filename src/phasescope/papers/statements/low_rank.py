"""How many directions a network's layers pass on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from phasescope.ensemble import streams
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import exact_partial_jacobian
from phasescope.papers.statement import Compared, at_most, exactly, near, statement
from phasescope.representation import local_rank, utilized_rank
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


@statement(
    "003-123",
    "The local rank is an average over data: a layer of rectifiers passes on what is active at each input",
    Source(
        paper="Patel and Shwartz-Ziv 2024, arXiv:2410.07687, local rank",
        derived="a diagonal layer behind rectifiers has the rank of its active units",
        tolerance="none: counts",
    ),
)
def active_units() -> Iterator[Compared]:
    """Identity layers of ten units with rectifiers, inputs of which 2, 5 and 9 entries are positive."""
    layers = [nn.Linear(10, 10, bias=False, dtype=torch.float64) for _ in range(2)]
    for layer in layers:
        nn.init.eye_(layer.weight)
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1])
    batch = torch.ones(3, 10, dtype=torch.float64)
    for row, active in enumerate((2, 5, 9)):
        batch[row, active:] = -1
    found = local_rank(net, batch, places=["0", "2"])["rank"].values
    yield exactly("local rank before the rectifiers", found[0], 10)
    yield near("local rank behind them, the mean of 2, 5 and 9", found[1], 16 / 3, 1e-12)


@statement(
    "003-137",
    "Weights of full rank may use a part of their space: cut down to where the data are, they do what they did",
    Source(
        paper="Garg et al. 2024, arXiv:2407.04797, abstract",
        ours="inputs planted in 8 of 64 dimensions",
        tolerance="none: ranks; outputs to rounding",
        checked=True,
    ),
)
def used_directions() -> Iterator[Compared]:
    """Random weights 64 x 64, 500 inputs."""
    frame = np.linalg.qr(streams(1)("frame").standard_normal((64, 64)))[0]
    inputs = streams(1)("inputs").standard_normal((500, 8)) @ frame[:8]
    found = utilized_rank(streams(1)("weights").standard_normal((64, 64)), inputs)
    yield exactly("rank of the weights", found.weight_rank, 64)
    yield exactly("rank that is used", found.rank.value, 8)
    yield exactly("utilization, in percent", 100 * found.utilization.value, 12.5)
    yield at_most("relative change of the outputs", found.change, 1e-9)
