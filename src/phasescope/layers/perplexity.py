"""What a language model loses on text: nats per token with an interval over samples, perplexity, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from phasescope.layers.passes import Tokens, batches, checked, device_of, reading, rows_at_once
from phasescope.layers.text import Samples
from phasescope.vocabulary import Array, BadInput


@dataclass(frozen=True)
class Losses:
    """Cross-entropy of the next token: ``values`` (N,) nats per token, the mean over the tokens of each sample.

    ``tokens`` are predicted in each sample, its length less one. ``sizes`` (N,): the bytes of text in them, if known.
    """

    values: Array
    tokens: int
    sizes: Array | None = None

    @property
    def mean(self) -> float:
        """Nats per token."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """The standard error of the mean over samples; NaN for one sample."""
        n = len(self.values)
        return float(self.values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean, Student's t over samples."""
        return _interval(self.mean, self.error, len(self.values))

    @property
    def perplexity(self) -> float:
        """The exponential of the loss, infinite where that is too large for a number."""
        return math.inf if self.mean > 700 else math.exp(self.mean)

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of text, comparable between tokenizers on the same text; NaN where sizes are not known."""
        if self.sizes is None:
            return math.nan
        return float(self.values.sum()) * self.tokens / math.log(2) / float(self.sizes.sum())

    @property
    def bits_per_byte_interval(self) -> tuple[float, float]:
        """The 95 % interval of bits per byte over samples: that of a ratio of means, to first order."""
        if self.sizes is None:
            return math.nan, math.nan
        n, ratio = len(self.values), self.bits_per_byte
        off = self.values * self.tokens / math.log(2) - ratio * self.sizes
        error = float(np.sqrt((off**2).sum() / (n * (n - 1)))) / float(self.sizes.mean()) if n > 1 else math.nan
        return _interval(ratio, error, n)

    def above(self, other: Losses) -> Losses:
        """Return by how much these losses are above those of ``other`` on the same samples: paired, so more exact."""
        return Losses(self.values - other.values, self.tokens, self.sizes)


def _interval(value: float, error: float, n: int) -> tuple[float, float]:
    half = float(stdtrit(n - 1, 0.975)) * error if n > 1 else math.nan
    return value - half, value + half


def losses(
    model: nn.Module,
    tokens: Tokens,
    *,
    batch: int | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Losses:
    """Return what ``model`` loses on ``tokens`` (N, T): the cross-entropy of each token but the first of a sample.

    ``Samples`` know their bytes, so that bits per byte can be read. ``batch`` samples are run at a time (default: about
    2,048 tokens, fewer where the vocabulary is large). Sums are in float64. The model is left as it was. Raises
    ``BadInput`` for tokens that the model can not take, and where a loss is not finite.
    """
    ids = checked(model, tokens)
    size = batch if batch is not None else rows_at_once(model, ids.shape[1])
    found: list[Tensor] = []
    with reading(model):
        for part in batches(ids, size, device_of(model)):
            found.append(token_losses(model, part).double().mean(1).cpu())
            if not bool(torch.isfinite(found[-1]).all()):
                raise BadInput(
                    f"{type(model).__name__} loses {float(found[-1][~found[-1].isfinite()][0])} nats per token on a "
                    "sample: look for weights that are not finite, or for overflow in a type of 16 bits."
                )
            if on_progress is not None:
                on_progress(sum(len(values) for values in found), len(ids))
    sizes = tokens.sizes if isinstance(tokens, Samples) else None
    return Losses(torch.cat(found).numpy(), ids.shape[1] - 1, sizes)


def token_losses(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the cross-entropy (B, T - 1) in nats of each token of ``ids`` (B, T) but the first, in float32 or 64."""
    logits = model(ids, use_cache=False).logits[:, :-1].flatten(0, 1)  # classes last in memory: three times as fast
    answers = ids[:, 1:].to(logits.device)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return nn.functional.cross_entropy(wide, answers.flatten(), reduction="none").view(answers.shape)
