"""What the parameters of ReLU networks can change of their function."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn

from phasescope.ensemble import streams
from phasescope.instruments.neural_tangent_kernel import tangent_kernel
from phasescope.papers.statement import Compared, at_least, at_most, exactly, statement
from phasescope.verdict import Source

DRAWS = 6


def ranks(*widths: int) -> list[int]:
    """Return the functional dimensions of ``DRAWS`` random ReLU networks: ranks of tangent kernels at many inputs."""
    found = []
    for draw in range(DRAWS):
        generator = streams(draw)("weights")
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after, dtype=torch.float64), nn.ReLU()]
        net = nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(torch.from_numpy(generator.standard_normal(tuple(parameter.shape))))
        inputs = torch.from_numpy(3 * streams(draw)("inputs").standard_normal((600, widths[0])))
        values = torch.linalg.eigvalsh(tangent_kernel(net, inputs))
        found.append(int((values > 1e-10 * values[-1]).sum()))
    return found


@statement(
    "003-136",
    "Functional dimension of a ReLU network: at most its parameters less its hidden units, and less in most deep ones",
    Source(
        paper="Grigsby, Lindsey and Rolnick 2023, ICML, abstract",
        derived="one scaling symmetry for each hidden unit",
        tolerance="none: ranks at 600 inputs; six draws",
        checked=True,
    ),
)
def functional_dimension() -> Iterator[Compared]:
    """One hidden layer of eight units attains the bound; four layers of four units seldom do."""
    shallow, deep = ranks(4, 8, 1), ranks(4, 4, 4, 4, 1)
    yield exactly("widths 4, 8, 1: largest of six draws, of 49 parameters", max(shallow), 49 - 8)
    yield at_least("widths 4, 8, 1: draws that attain it", shallow.count(41), 5)
    yield at_most("widths 4, 4, 4, 4, 1: largest of six draws, of 65 parameters", max(deep), 65 - 12)
    yield at_most("widths 4, 4, 4, 4, 1: draws that attain 53", deep.count(53), 3)
