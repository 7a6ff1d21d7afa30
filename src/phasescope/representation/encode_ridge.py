"""Ridge regression of many responses at once, each with the penalty that predicts left-out stimuli best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = tuple(10.0**k for k in range(-6, 5))
"""Penalties, in units of the mean squared length of a principal axis of the features."""


@dataclass(frozen=True)
class Fit:
    """A fitted ridge: ``weights`` (D, Q), the means of features and responses, and each response's penalty (Q,)."""

    weights: Tensor
    features: Tensor
    responses: Tensor
    penalties: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """Return predicted responses (N, Q) of ``features`` (N, D)."""
        found: Tensor = (features - self.features) @ self.weights + self.responses
        return found


class Ridge:
    """The features (n, D) on which ridges are fitted, decomposed once for all penalties and responses."""

    def __init__(self, features: Tensor) -> None:
        self.mean = features.mean(0)
        u, s, vt = torch.linalg.svd(features - self.mean, full_matrices=False)
        held = s > torch.finfo(s.dtype).eps * len(features) * s[0] if len(s) else s > 0
        self.u, self.s, self.vt = u[:, held], s[held], vt[held]
        square = self.s.square()
        unit = square.mean() if len(square) else torch.ones((), dtype=s.dtype)
        self.penalties = torch.tensor(PENALTIES, dtype=s.dtype) * unit

    def fitted(self, responses: Tensor) -> Fit:
        """Return the ridge of ``responses`` (n, Q), each with the penalty of least error on stimuli left out singly.

        That error has a closed form: a residual over one less the stimulus's leverage (Allen 1974, Technometrics 16).
        """
        middle = responses.mean(0)
        y = responses - middle
        codes = self.u.T @ y
        errors = torch.stack([self._left_out(y, codes, penalty) for penalty in self.penalties])
        best = errors.argmin(0)
        chosen = self.penalties[best]
        shrunk = self.s[:, None] / (self.s.square()[:, None] + chosen)
        return Fit(self.vt.T @ (shrunk * codes), self.mean, middle, chosen)

    def _left_out(self, y: Tensor, codes: Tensor, penalty: Tensor) -> Tensor:
        """Return the mean squared error (Q,) on each stimulus of a ridge of all others, their means included."""
        keep = self.s.square() / (self.s.square() + penalty)
        leverage = 1 / len(y) + self.u.square() @ keep
        rest = y - self.u @ (keep[:, None] * codes)
        error: Tensor = (rest / (1 - leverage).clamp(min=1e-9)[:, None]).square().mean(0)
        return error
