"""Log-likelihoods of many requests: each different pass once, sorted by length, padded right, kept as they are done."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phasescope.checks import whole
from phasescope.evaluation.subject import Evaluated, Request
from phasescope.layers.passes import LOGITS, TOKENS, device_of, reading
from phasescope.store import Store
from phasescope.vocabulary import Array, BadInput

OFTEN = 2.0  # seconds between records
FIELDS = ("value", "greedy", "seconds", "tokens")
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Likelihoods:
    """Of each request (n,): ``value``, its log-likelihood in nats; ``greedy``, 1 where each token was the likeliest.

    ``seconds`` is its share of the passes that were made for it, and ``tokens`` its share of the tokens in them.
    """

    value: Array
    greedy: Array
    seconds: Array
    tokens: Array


class Kept:
    """What is known of one model in a folder: request -> numbers; without a folder only while this object lives."""

    def __init__(self, store: Store | None, model: str) -> None:
        self._store, self._model = store, model
        self.known: dict[bytes, tuple[float, ...]] = {}
        for identity, _ in store.records() if store is not None else ():
            if identity.get("likelihoods") != 1 or identity.get("model") != model:
                continue
            found = store.load(identity) if store is not None else None
            if found is not None:  # a damaged record is absent, and computed again
                rows = zip(*(found[0][name].tolist() for name in FIELDS), strict=True)
                self.known |= dict(zip(map(bytes, found[0]["request"]), rows, strict=True))
        self._new: list[bytes] = []
        self._saved = time.monotonic()

    def add(self, key: bytes, numbers: tuple[float, ...]) -> None:
        """Take what was computed."""
        self.known[key] = numbers
        self._new.append(key)

    def save(self, *, now: bool = False) -> None:
        """Write what is new, at the end or after ``OFTEN`` seconds, as one record."""
        if self._store is None or not self._new or not (now or time.monotonic() - self._saved > OFTEN):
            return
        arrays = {name: np.array([self.known[key][i] for key in self._new]) for i, name in enumerate(FIELDS)}
        arrays["request"] = np.frombuffer(b"".join(self._new), dtype=np.uint8).reshape(len(self._new), -1)
        digest = hashlib.sha256(arrays["request"].tobytes()).hexdigest()
        self._store.save({"likelihoods": 1, "model": self._model, "requests": digest}, arrays, {})
        self._new, self._saved = [], time.monotonic()


def _key(request: Request) -> bytes:
    said = np.array([request.start, *request.ids], dtype=np.int64).tobytes()
    return hashlib.blake2b(said, digest_size=16).digest()


def likelihoods(
    subject: Evaluated,
    requests: Sequence[Request],
    *,
    batch: int | None = None,
    kept: Kept | None = None,
    on_progress: Progress | None = None,
) -> Likelihoods:
    """Return the log-likelihoods of ``requests``: of their tokens from ``start`` on, given those before.

    A token is predicted from all before it, so requests that differ in their last token alone share a pass, and equal
    ones are answered once. ``batch`` passes are run at a time (default: about 2,048 tokens, fewer where the vocabulary
    is large). Sums are in float64. What ``kept`` has is not computed again, and has the same bits. Raises ``BadInput``
    where a likelihood is not finite.
    """
    batch = None if batch is None else whole(1, 10**6)("batch", batch)
    kept = Kept(None, "") if kept is None else kept
    keys = [_key(request) for request in requests]
    passes: dict[tuple[int, ...], dict[bytes, Request]] = {}
    for key, request in zip(keys, requests, strict=True):
        if key not in kept.known:
            passes.setdefault(request.ids[:-1], {})[key] = request
    rows = sorted(passes, key=lambda row: (-len(row), row))
    done, total = len(keys) - sum(map(len, passes.values())), len(keys)
    with reading(subject.model):
        try:
            while rows:
                count = _at_once(subject, len(rows[0]), min(r.start for r in passes[rows[0]].values()), batch)
                part, rows = rows[:count], rows[count:]
                for key, numbers in _answered(subject, part, [passes[row] for row in part]):
                    kept.add(key, numbers)
                    done += 1
                kept.save()
                if on_progress is not None:
                    on_progress(done, total)
        finally:
            kept.save(now=True)
    found = np.array([kept.known[key] for key in keys], dtype=np.float64).reshape(len(keys), len(FIELDS))
    return Likelihoods(*found.T)


def _at_once(subject: Evaluated, length: int, start: int, batch: int | None) -> int:
    most = TOKENS // length
    return batch if batch is not None else max(1, min(most, LOGITS // ((length - start + 1) * subject.words)))


def _answered(
    subject: Evaluated, rows: Sequence[tuple[int, ...]], asked: Sequence[dict[bytes, Request]]
) -> list[tuple[bytes, tuple[float, ...]]]:
    """Run one batch of ``rows``; return what each request that was ``asked`` of a row is worth."""
    began = time.perf_counter()
    width, device = len(rows[0]), device_of(subject.model)
    ids, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    first = min(request.start for some in asked for request in some.values()) - 1  # the place that predicts it
    padded = torch.from_numpy(mask).to(device) if mask.min() == 0 else None
    logits = subject.logits(torch.from_numpy(ids).to(device), padded, width - first)
    logs = (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(-1)
    best = logs.argmax(-1)
    each = [(i, key, request) for i, some in enumerate(asked) for key, request in some.items()]
    values = [_sum(subject, logs[i], best[i], request, first) for i, _, request in each]
    seconds, tokens = time.perf_counter() - began, sum(map(len, rows))
    found: list[tuple[bytes, tuple[float, ...]]] = []
    for (i, key, _), (value, greedy) in zip(each, values, strict=True):
        share = len(rows[i]) / len(asked[i])
        found.append((key, (value, greedy, seconds * share / tokens, share)))
    return found


def _sum(subject: Evaluated, logs: Tensor, best: Tensor, request: Request, first: int) -> tuple[float, float]:
    answer = torch.tensor(request.ids[request.start :], device=logs.device)
    places = slice(request.start - 1 - first, len(request.ids) - 1 - first)
    value = float(logs[places].gather(1, answer[:, None]).double().sum())
    if not math.isfinite(value):
        raise BadInput(
            f"{subject.name!r} gives a request the log-likelihood {value}: look for weights that are not finite, or "
            "for overflow in a type of 16 bits."
        )
    return value, float(bool((best[places] == answer).all()))
