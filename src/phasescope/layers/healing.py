"""Healing: a little training of a shorter model, with low-rank adapters on its MLPs that are merged at the end.

Gromov et al. 2024, arXiv:2403.17887, App. A.1: adapters on the MLP projections alone, alpha equal to the rank, dropout
0.05, a cosine schedule after 100 of 5,000 steps of warm-up, batches of 16 sequences, peak rates from 3e-6 to 3e-4,
ranks from 2 to 64. Ours: Adam's betas and the clipped norm, as in transformers' trainer; the model's dropout is off.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from phasescope.ensemble.streams import batch_order, dropout_keys
from phasescope.layers.adapters import Adapters
from phasescope.layers.passes import Tokens, checked, device_of, rows_at_once
from phasescope.layers.perplexity import Losses, losses, token_losses
from phasescope.vocabulary import Array, BadInput, Fraction, Keeper, Positive, Settings

OFTEN = 60.0  # seconds between checkpoints


class Numbers(Settings):
    """The numbers of a healing. ``warmup`` is a fraction of the steps, ``rate`` the highest learning rate."""

    steps: Annotated[int, Field(ge=1, le=10**7)]
    rank: Annotated[int, Field(ge=1, le=10**5)] = 64
    rate: Positive = 3e-4
    warmup: Fraction = 0.02
    batch: Annotated[int, Field(ge=1, le=10**5)] = 16
    dropout: Fraction = 0.05
    clip: Positive = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    four_bit: bool = False


@dataclass(frozen=True)
class Healed:
    """A healed ``model``, its losses ``before`` and ``after`` on held-out samples, and in ``training`` (steps,).

    ``identity`` is the name of the checkpoint that the keeper may drop once the model is written.
    """

    model: nn.Module
    training: Array
    before: Losses | None = None
    after: Losses | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)


def heal(
    model: nn.Module,
    tokens: Tokens,
    steps: int,
    *,
    held: Tokens | None = None,
    keeper: Keeper | None = None,
    on_progress: Callable[[int, int, float], object] | None = None,
    **numbers: Any,
) -> Healed:
    """Train low-rank adapters on the MLP projections of ``model`` for ``steps`` steps on ``tokens`` (N, T); merge them.

    ``numbers``: ``rank`` 64, ``rate`` 3e-4, ``warmup`` 0.02 of the steps, ``batch`` 16, ``dropout`` 0.05, ``clip`` 1.0,
    ``seed`` 0, ``four_bit`` False (the frozen MLP weights in NF4 through bitsandbytes while training, on CUDA). The
    losses on ``held`` are read before and after. With a ``keeper``, such as a store, a stopped healing goes on where
    it was, with the same result bit for bit. ``model`` is left as it was; the healed one has weights of the same type.

    Raises ``BadInput`` without ``peft``, for numbers out of range, where nothing can be adapted, and where the loss is
    no longer finite.
    """
    n = Numbers(steps=steps, **numbers)
    ids = checked(model, tokens)
    adapters = Adapters(model, rank=n.rank, dropout=n.dropout, seed=n.seed, four_bit=n.four_bit)
    before = losses(model, held) if held is not None else None
    identity = _identity(adapters, ids, n)
    training = _train(adapters, ids, n, keeper, identity, on_progress)
    healed = adapters.merged()
    return Healed(healed, training, before, losses(healed, held) if held is not None else None, identity)


def rate_at(n: Numbers, step: int) -> float:
    """Return the learning rate of ``step`` (from 1): a linear rise to ``rate``, then half a cosine down to 0."""
    rise = max(1, round(n.warmup * n.steps))
    if step <= rise:
        return float(n.rate) * step / rise
    return float(n.rate) * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, n.steps - rise + 1)))


def _train(
    adapters: Adapters,
    ids: Tensor,
    n: Numbers,
    keeper: Keeper | None,
    identity: Mapping[str, Any],
    tell: Callable[[int, int, float], object] | None,
) -> Array:
    """Train ``adapters`` in place from where ``keeper`` knows them to be; return the losses of all steps."""
    optimizer = torch.optim.Adam(adapters.parameters, lr=n.rate)
    done = _restore(adapters, optimizer, keeper, identity)
    rows = np.arange(len(ids), dtype=np.int32)
    saved = time.monotonic()
    with torch.enable_grad():
        for step in range(len(done) + 1, n.steps + 1):
            batch = ids[torch.from_numpy(batch_order(n.seed, rows, n.batch, step, 1)[0].astype(np.int64))]
            for group in optimizer.param_groups:
                group["lr"] = rate_at(n, step)
            done.append(_step(adapters, optimizer, batch, n, step))
            if tell is not None:
                tell(step, n.steps, done[-1])
            if keeper is not None and (time.monotonic() - saved > OFTEN or step == n.steps):
                keeper.save_checkpoint(identity, _state(adapters, optimizer, done), {})
                saved = time.monotonic()
    return np.array(done)


def _step(adapters: Adapters, optimizer: torch.optim.Optimizer, batch: Tensor, n: Numbers, step: int) -> float:
    """Take one step on ``batch`` (B, T), a part of it at a time; return its loss before the step."""
    parts = torch.split(batch, rows_at_once(adapters.model, batch.shape[1]))
    keys = dropout_keys(n.seed, step * len(parts), len(parts)).tolist()
    total = 0.0
    optimizer.zero_grad()
    for key, part in zip(keys, parts, strict=True):
        adapters.set_key(key)
        loss = token_losses(adapters.base, part.to(device_of(adapters.base))).mean() * (len(part) / len(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    if not math.isfinite(total):
        raise BadInput(f"the loss is {total} at step {step} of the healing: take a rate smaller than {n.rate}.")
    nn.utils.clip_grad_norm_(adapters.parameters, n.clip)
    optimizer.step()
    return total


def _state(adapters: Adapters, optimizer: torch.optim.Optimizer, done: list[float]) -> dict[str, Array]:
    arrays = {"losses": np.array(done)}
    for i, p in enumerate(adapters.parameters):
        kept = {"p": p, "m": optimizer.state[p]["exp_avg"], "v": optimizer.state[p]["exp_avg_sq"]}
        arrays |= {f"{name}{i}": value.detach().cpu().numpy().copy() for name, value in kept.items()}
    return arrays


def _restore(
    adapters: Adapters, optimizer: torch.optim.Optimizer, keeper: Keeper | None, identity: Mapping[str, Any]
) -> list[float]:
    """Put the adapters and the optimizer where a checkpoint left them; return the losses so far."""
    known = keeper.load_checkpoint(identity) if keeper is not None else None
    if known is None:
        return []
    arrays = known[0]
    for i, p in enumerate(adapters.parameters):
        there = {name: torch.from_numpy(arrays[f"{name}{i}"]).to(p) for name in "pmv"}
        p.data.copy_(there["p"])
        step = torch.tensor(float(len(arrays["losses"])))
        optimizer.state[p] = {"step": step, "exp_avg": there["m"], "exp_avg_sq": there["v"]}
    return [float(x) for x in arrays["losses"]]


def _identity(adapters: Adapters, ids: Tensor, n: Numbers) -> dict[str, Any]:
    """Return what a healing is known by: its numbers, its text, and a digest of the model that it starts from.

    The digest is of every weight and buffer, and of the config, which says what is done with them.
    """
    model: Any = adapters.model
    said = {k: v for k, v in model.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    digest = hashlib.sha256(ids.cpu().numpy().tobytes())
    digest.update(f"{type(model).__name__} {json.dumps(said, sort_keys=True, default=str)}".encode())
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return {"healing": 2, "numbers": n.model_dump(), "start": digest.hexdigest()}
