"""What theory says of the networks of the study ``transformer-signal``, setting by setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import xarray as xr

from phasescope.ensemble import streams
from phasescope.studies.transformer_signal.runs import MODES, block_of, numbers_of
from phasescope.studies.transformer_signal.settings import TransformerSignalSettings
from phasescope.theory import transformer_signal
from phasescope.theory.transformer_signal import (
    TransformerBlock,
    angle_exponent,
    edge_of_chaos,
    gradient_exponent,
    mean_gradient_exponent,
    settled_correlation,
    token_trajectory,
)
from phasescope.vocabulary import Array, Member

TOKENS = 16  # of networks near collapse, where their number enters the total gradient alone
Formula = Callable[[Any], float]
"""Takes a ``transformer_signal.TransformerBlock`` to an exponent per block."""


def block_at(strengths: str, skip: str) -> Any:
    """Return the theory's block at "alpha_A alpha_M sigma_w", a setting of the experiment ``exponents``."""
    return block_of(numbers_of(Member({"strengths": strengths, "skip": skip, "sigma_A": 1.0, "tokens": TOKENS}, 0)))


def gradient_formulas(depth: int) -> Mapping[str, Formula]:
    """Return the theory of each of ``MODES``."""
    total = partial(gradient_exponent, depth=depth)
    return dict(zip(MODES, (total, mean_gradient_exponent, angle_exponent), strict=True))


def path(s: TransformerSignalSettings, skip: str, *, score: float = 1.0) -> Array:
    """Return q and p (depth + 1, 2) of the path by the map; for sigma_A > 1, outside its domain, by that of n = inf."""
    numbers = {"alpha_A": 0.7, "alpha_M": 0.7, "sigma_w": 3.0, "sigma_A": score, "skip": skip}
    tokens = float(s.tokens) if score <= 1 else np.inf
    return _trajectory(block_of(numbers, tokens=tokens), s.path_depth)


@cache
def _trajectory(block: TransformerBlock, depth: int) -> Array:
    return token_trajectory(block, 1.0, 0.2, depth)


def settled_block(s: TransformerSignalSettings) -> Any:
    """Return the theory's block of the experiment ``settled``, in the chaotic phase."""
    return TransformerBlock(0.5, 0.5, s.settled_sigma, 1.0, s.tokens)


@cache
def settled_at(block: TransformerBlock) -> float:
    """Return the correlation at which tokens settle."""
    return settled_correlation(block)  # seconds of integrals


def weak_edge(s: TransformerSignalSettings, skip: str) -> float:
    """Return the sigma_w of the edge of chaos in the experiment ``weak``."""
    numbers = {"alpha_A": s.weak_alpha, "alpha_M": s.weak_alpha, "sigma_w": 1.0, "sigma_A": 1.0, "skip": skip}
    return edge_of_chaos(block_of(numbers, tokens=np.inf))


def plane(
    formula: Formula, alphas: Sequence[float], sigmas: Sequence[float], *, skip: str = "preserving"
) -> xr.DataArray:
    """Return a formula (alpha, sigma_w) at every pair of a strength, of both branches, and a hidden scale."""
    values = [[formula(TransformerBlock(a, a, w, skip=skip)) for w in sigmas] for a in alphas]  # type: ignore[arg-type]
    return xr.DataArray(values, {"alpha": list(alphas), "sigma_w": list(sigmas)}, ("alpha", "sigma_w"))


SAMPLES = ("any", "ordered")
PLACES = ("one", "other")


def placed(s: TransformerSignalSettings, sample: str, place: str, seed: int) -> tuple[float, float]:
    """Return alpha and sigma_w of one of the two trained networks of a seed, drawn evenly; "ordered": lambda_a < 0."""
    draw, (low, high) = streams(seed)(f"place {sample} {place}"), s.train_sigmas
    if sample == "ordered":
        high = min(high, transformer_signal.weak_edge_of_chaos())  # stronger ones have their edge of chaos further up
    return float(draw.uniform(*s.train_alphas)), float(draw.uniform(low, high))


@cache
def exponents_at(alpha: float, sigma_w: float) -> tuple[float, float]:
    """Return lambda_a and lambda_g, the gradient's token mean, of a trained network as it begins."""
    block = transformer_signal.TransformerBlock(alpha, alpha, sigma_w)
    return transformer_signal.angle_exponent(block), transformer_signal.mean_gradient_exponent(block)
