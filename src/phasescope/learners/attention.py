"""Attention, the block of a transformer, and what tells a token its place: written once for every transformer here.

Letters beyond the house's: T tokens, Q of them that ask, h heads of d units each.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.learners.signal import PHI

ALL = slice(None)
BASE = 10_000.0


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return softmax(query . key / sqrt(d) + bias) value, (..., Q, h, d), of ``key`` and ``value`` (..., T, h, d).

    ``bias`` (1 or h, Q, T) is added to the scores: -inf where a query must not look. Vaswani et al. 2017,
    arXiv:1706.03762, Eq. 1.
    """
    scale = query.shape[-1] ** -0.5
    if query.shape[-3] == 1:
        # written out: batched products of matrices with one row take up to twice as long
        scores = (query * key).sum(-1) * scale
        scores = scores if bias is None else scores + bias[:, 0].T
        return (torch.softmax(scores, dim=-2)[..., None] * value).sum(-3, keepdim=True)
    # not scaled_dot_product_attention: torch 2.13 has no rule to stack it on a CPU, and warns. For 64 tokens it would
    # gain up to a fifth, for fewer nothing
    query, key, value = (x.transpose(-2, -3) for x in (query, key, value))
    scores = torch.matmul(query, key.transpose(-1, -2)) * scale
    scores = scores if bias is None else scores + bias
    return torch.matmul(torch.softmax(scores, -1), value).transpose(-2, -3)


def per_head(x: Tensor, *parts: int) -> Tensor:
    """Return ``x`` (..., h d) with its units taken apart: (..., h, d) for ``parts`` h, (..., 3, h, d) for 3, h."""
    return x.reshape(*x.shape[:-1], *parts, -1)


class Block(nn.Module):
    """Attention, then a perceptron of ``hidden`` units; each is added to the tokens (N, T, width) that pass through.

    ``norm`` "pre": x + f(n(x)) (GPT-2); "post": n(x + f(x)) (Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.1); "none":
    x + f(x). ``normalize`` makes n for a width. Without hidden units there is attention alone.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        activation: str = "gelu",
        norm: str = "pre",
        normalize: type[nn.LayerNorm] | type[nn.RMSNorm] = nn.LayerNorm,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.hidden, self.norm, self.phi = heads, hidden, norm, PHI[activation]
        branches = 0 if norm == "none" else 2 if hidden else 1
        self.norms = nn.ModuleList(normalized_by(normalize, width, bias=bias) for _ in range(branches))
        self.to_qkv = nn.Linear(width, 3 * width, bias)
        self.back = nn.Linear(width, width, bias)
        if hidden:
            self.up, self.down = nn.Linear(width, hidden, bias), nn.Linear(hidden, width, bias)

    def split(self, h: Tensor, rows: slice = ALL) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries of the tokens at ``rows``, and the keys and values of all: (N, Q or T, heads, d)."""
        x, width = self._normed(h, 0, "pre"), h.shape[-1]
        if rows == ALL:
            query, key, value = per_head(self.to_qkv(x), 3, self.heads).unbind(-3)
            return query, key, value
        weight, bias = self.to_qkv.weight, self.to_qkv.bias
        own, rest = (None, None) if bias is None else (bias[:width], bias[width:])
        query = per_head(functional.linear(x[..., rows, :], weight[:width], own), self.heads)
        key, value = per_head(functional.linear(x, weight[width:], rest), 2, self.heads).unbind(-3)
        return query, key, value

    def joined(self, h: Tensor, mixed: Tensor) -> Tensor:
        """Return the next tokens from those that asked, ``h`` (N, Q, width), and what their heads saw (N, Q, h, d)."""
        h = self._normed(h + self.back(mixed.flatten(-2)), 0, "post")
        if not self.hidden:
            return h
        return self._normed(h + self.down(self.phi(self.up(self._normed(h, 1, "pre")))), 1, "post")

    def forward(
        self, h: Tensor, bias: Tensor | None = None, turn: Tensor | None = None, *, rows: slice = ALL
    ) -> Tensor:
        """Return the next tokens (N, Q, width) at ``rows``; ``bias`` as in ``attend``, ``turn`` as of ``rotations``."""
        query, key, value = self.split(h, rows)
        if turn is not None:
            query, key = turned(query, turn[rows]), turned(key, turn)
        return self.joined(h[..., rows, :], attend(query, key, value, bias))

    def _normed(self, x: Tensor, branch: int, place: str) -> Tensor:
        if self.norm != place:
            return x
        out: Tensor = self.norms[branch](x)
        return out


def normalized_by(kind: type[nn.LayerNorm] | type[nn.RMSNorm], width: int, *, bias: bool) -> nn.Module:
    """Return a normalization of the last axis with a learnt gain, and, of a LayerNorm with ``bias``, a learnt shift."""
    return nn.RMSNorm(width, 1e-5) if kind is nn.RMSNorm else nn.LayerNorm(width, bias=bias)


# -- who sees whom ----------------------------------------------------------------------------------------------------


def visible(mask: str, tokens: int, device: torch.device | None = None) -> Tensor:
    """Return booleans (T, T): whether token i (row) sees token j, for ``mask`` "none", "causal" or "examples".

    "causal": j <= i. "examples": tokens are question 1, example 1, question 2, example 2, ...; a token sees itself and
    the examples before it, no question but itself. It is the autoregressive mask of Nguyen and Grover 2022,
    arXiv:2207.04179 (TNP-A), with the tokens of a pair side by side, and with questions that see themselves.
    """
    place = torch.arange(tokens, device=device)
    before = place[:, None] >= place
    if mask == "none":
        return torch.ones_like(before)
    if mask == "causal":
        return before
    return (before & (place % 2 == 1)) | (place[:, None] == place)


def slopes(heads: int, like: Tensor) -> Tensor:
    """Return ALiBi's slope of each head (h,): 2^(-8/h), 2^(-16/h), ..., 2^-8 (Press et al. 2021, arXiv:2108.12409, 3).

    The paper's rule for any h; its code has other slopes where h is no power of 2.
    """
    return torch.exp2(torch.arange(1, heads + 1, dtype=like.dtype, device=like.device) * (-8 / heads))


def seen_with(mask: str, positions: str, heads: int, tokens: int, like: Tensor) -> Tensor | None:
    """Return what is added to the scores (1 or heads, T, T), in the type of ``like``, or None where it is nothing.

    -inf where ``visible`` says no; with ``positions`` "alibi", minus slope times distance |i - j| where it says yes.
    """
    if mask == "none" and positions != "alibi":
        return None
    bias = torch.zeros(1, tokens, tokens, dtype=like.dtype, device=like.device)
    if positions == "alibi":
        place = torch.arange(tokens, dtype=like.dtype, device=like.device)
        bias = -slopes(heads, like)[:, None, None] * (place[:, None] - place).abs()
    return bias if mask == "none" else bias.masked_fill(~visible(mask, tokens, like.device), -math.inf)


# -- places -----------------------------------------------------------------------------------------------------------


def angles(tokens: int, units: int, device: torch.device | None = None) -> Tensor:
    """Return place times 10000^(-2 i / units) (T, units / 2), i = 0, 1, ..., in radians, as float64."""
    rates = BASE ** (-torch.arange(0, units, 2, dtype=torch.float64, device=device) / units)
    return torch.arange(tokens, dtype=torch.float64, device=device)[:, None] * rates


def sinusoids(tokens: int, width: int, like: Tensor) -> Tensor:
    """Return (T, width): sin and cos, by turns, of the ``angles`` (Vaswani et al. 2017, arXiv:1706.03762, Sec. 3.5)."""
    angle = angles(tokens, width, like.device)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2).to(like.dtype)


def rotations(tokens: int, units: int, like: Tensor) -> Tensor:
    """Return exp(i angle) (T, 1, units / 2) of the ``angles``, as precise as ``like``: what ``turned`` takes."""
    angle = angles(tokens, units, like.device)[:, None]
    return torch.complex(angle.cos().to(like.dtype), angle.sin().to(like.dtype))


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Return ``x`` (..., T, h, d) with its units 2 i and 2 i + 1, as one complex number, times ``turn`` (T, 1, d / 2).

    Products of two turned vectors depend on the difference of their places alone (rotary positions, Su et al. 2021,
    arXiv:2104.09864, Sec. 3.2).
    """
    # complex: written out in real numbers it takes three times as long
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(-2)
