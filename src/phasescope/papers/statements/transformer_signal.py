"""Tokens through deep transformers at initialization."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from phasescope.ensemble import streams
from phasescope.learners import SignalTransformer
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.theory.transformer_signal import (
    TransformerBlock,
    angle_exponent,
    edge_of_chaos,
    token_trajectory,
)
from phasescope.verdict import Source

COWSIK = "Cowsik, Nebabu, Qi and Ganguli 2024, arXiv:2403.02579"
WIDTH, DEPTH, DRAWS = 256, 6, 3


def correlations(block: TransformerBlock, start: float, draw: int) -> list[float]:
    """Return the mean correlation of tokens before the first and after each of ``DEPTH`` blocks of a transformer."""
    net = SignalTransformer(WIDTH, DEPTH, inputs=256, side=2, sigma_w=block.weight_scale, sigma_A=block.score_scale)
    net.with_knobs({"alpha_A": block.attention, "alpha_M": block.mlp})
    net.initialize(streams(draw)("init"))
    generator = streams(draw)("tokens")
    shared, own = generator.standard_normal(WIDTH), generator.standard_normal((64, WIDTH))
    x = torch.from_numpy(math.sqrt(start) * shared + math.sqrt(1 - start) * own).float()[None]
    found = []
    with torch.no_grad():
        for part in (None, *net.blocks):
            x = x if part is None else part(x)
            unit = x[0] / x[0].norm(dim=1, keepdim=True)
            found.append(float(((unit @ unit.T).sum() - 64) / (64 * 63)))
    return found


@statement(
    "002-03",
    "How alike a transformer's tokens become with depth follows a map of two numbers",
    Source(
        paper=f"{COWSIK}, the update of sizes and angles",
        derived="theory.transformer_signal.token_trajectory",
        tolerance="the scatter of three draws of 64 tokens at width 256",
    ),
)
def tokens_of_networks() -> Iterator[Compared]:
    """Ordered and chaotic blocks: the mean correlation of tokens after three and six of them."""
    for scale, words in ((1.0, "ordered"), (4.0, "chaotic")):
        block = TransformerBlock(0.5, 0.5, scale, tokens=64)
        measured = np.mean([correlations(block, 0.3, draw) for draw in range(DRAWS)], axis=0)
        theory = token_trajectory(block, 1.0, measured[0], DEPTH)
        for depth in (3, DEPTH):
            expected = theory[depth, 1] / theory[depth, 0]
            what = f"sigma_w = {scale:g} ({words}): correlation after {depth} blocks"
            yield near(what, measured[depth], expected, 0.05)


@statement(
    "002-03",
    "Attention alone makes tokens collapse; a perceptron with large enough weights keeps them apart: order and chaos",
    Source(
        paper=f"{COWSIK}, the angle exponent and its zero",
        derived="theory.transformer_signal: angle_exponent, edge_of_chaos",
        tolerance="none: signs",
    ),
)
def order_and_chaos() -> Iterator[Compared]:
    """Signs of the angle exponent on both sides of the edge."""
    block = TransformerBlock(0.5, 0.5, 1.0, tokens=64)
    edge = edge_of_chaos(block)
    yield at_most("angle exponent, attention alone", angle_exponent(replace(block, mlp=0.0)), -1e-3)
    yield near("angle exponent at the edge", angle_exponent(replace(block, weight_scale=edge)), 0, 1e-9)
    for factor, sign, words in ((0.9, -1, "below"), (1.1, 1, "above")):
        near_edge = replace(block, weight_scale=factor * edge)
        yield at_least(f"angle exponent 10 % {words} the edge, times {sign}", sign * angle_exponent(near_edge), 1e-3)
