"""``inspect``: one passage through the user's own model, read block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from phasescope.ensemble import streams
from phasescope.inspection.advice import advised
from phasescope.inspection.batches import fitted
from phasescope.inspection.blocks import find, first_not_finite
from phasescope.inspection.judge import BLOCK_TOLERANCE, depth_of, interval_of, scale_of, verdict_of
from phasescope.inspection.readings import NOTHING, BlockReading, Inspection, Interval
from phasescope.inspection.rows import is_weight_layer
from phasescope.inspection.signs import foretold
from phasescope.instruments.calls import usable
from phasescope.instruments.forward_pass import INPUT, Passage, passage
from phasescope.instruments.given_back import BATCH_NORMS, module_of
from phasescope.instruments.graph import Block, checked_names
from phasescope.instruments.partial_jacobian import kernel_slope, partial_jacobians, transfer
from phasescope.instruments.signal import Activity, batch_variances, dead_shares, kernels, sample_cosines, token_cosines
from phasescope.vocabulary import BadInput, Reading

EXACT = Interval(1.0, 1.0, 1.0)
Progress = Callable[[str, int, int], None]


def inspect(
    module: nn.Module,
    batch: Any,
    *,
    blocks: Sequence[str] | None = None,
    sublayers: bool = False,
    probes: int = 8,
    seed: int = 0,
    advice: bool = True,
    forecast: bool = True,
    on_progress: Progress | None = None,
) -> Inspection:
    """Read how the signal and its gradients go through ``module``, block by block, and say what is not normal.

    ``batch``: what the model takes, as a tensor or array, a tuple of arguments, or a mapping of keywords; its first
    axis is that of the samples; floats of another precision than the model's are cast to it. ``blocks``: names of
    modules in the order of the signal; None finds them (``blocks_of``), and with ``sublayers=True`` reads their parts
    instead, such as attention and MLP, each from the sum before to its own. ``probes``: random vectors per Jacobian;
    ``seed``: of these. ``advice=False`` tries none, which is quicker. ``forecast=False`` leaves out what to expect of a
    training, which takes as many backward passes more, through all weights. ``on_progress(what, done, total)`` is told
    of each block.

    Module and batch are given back bit for bit: parameters, buffers, attributes, modes, gradients, hooks, and the
    random numbers of torch, numpy and Python. It is read in evaluation mode (no dropout), but batch normalization that
    was training goes on normalizing by the batch. Works for frozen, tied and bf16 weights and under ``no_grad``. Costs
    two forward passes, ``probes`` backward passes for the whole and as many for all single blocks together.

    Of a model in two parts, as encoder and decoder, each is read by itself: the further ones are ``parts``.

    Raises ``BadInput`` for a model without parameters, blocks that are unknown, never called, not found, or that cover
    less than half of the parameters, a batch that a module refuses, a backward pass that fails, and signals that are
    not finite; each names the module.
    """
    if probes < 2:
        raise BadInput(f"probes is {probes}: give at least 2, so that they have a spread.")
    batch = fitted(usable(batch), module_of(module))
    if blocks is not None and not blocks:
        raise BadInput("blocks is empty: name at least one module, or leave it out.")
    if blocks is not None and sublayers:
        raise BadInput("both blocks and sublayers are given: name the modules, or let them be found.")
    tell = on_progress or (lambda what, done, total: None)
    tell("forward", 0, 1)
    try:
        found = find(module, batch, None if blocks is None else checked_names(module, blocks), inside=sublayers)
        read = [_part(module, batch, part, probes, seed, advice, tell) for part in found.parts]
    except BadInput as error:
        broken = first_not_finite(module, batch) if "not finite" in str(error) else None
        if broken is None:
            raise
        raise BadInput(
            f"the output of {broken!r} is not finite, the first in the model: look for overflow or bad weights there."
        ) from error
    whole = replace(read[0], covered=found.share, coverage=str(found), parts=tuple(read[1:]))
    return replace(whole, forecast=foretold(whole, module, batch)) if forecast else whole


def _part(
    module: nn.Module, batch: Any, blocks: Sequence[Block], probes: int, seed: int, advice: bool, tell: Progress
) -> Inspection:
    with passage(module, batch, blocks, during=Activity) as found:
        for name, h in found.values.items():
            if h.dim() < 2:
                raise BadInput(
                    f"the signal at {name!r} has shape {tuple(h.shape)}: give a batch whose first axis is that of the "
                    "samples, or blocks that pass on more than one number for each."
                )
        read, samples = _read(module, batch, found, blocks, probes, seed, tell)
    return advised(read, module, batch, blocks, asleep=_asleep(module), samples=samples, advice=advice, tell=tell)


def _read(
    module: nn.Module, batch: Any, found: Passage, blocks: Sequence[Block], probes: int, seed: int, tell: Progress
) -> tuple[Inspection, int]:
    places, generators = found.names, streams(seed)
    start = _start(module, found)
    rows = []
    signal, held = _signal(found), _held(module, blocks)
    tell("the whole depth", 0, len(places))
    ends = [*_to_end(found, generators("probes", 0), probes), EXACT]
    deep = len(places) - 1 - places.index(start)
    for i, name in enumerate(places):
        across: dict[str, Any] = {"chi": NOTHING, "verdict": "-", "skip": math.nan, "slope": math.nan}
        if i > 0:
            tell(name, i, len(places))
            across = _across(found, places[i - 1], name, generators("probes", i), probes, places.index(start) < i, deep)
        across |= {key: values[i] for key, values in signal.items()}
        across |= {"shape": tuple(found.values[name].shape[1:]), "parameters": held.get(name, 0)}
        rows.append(BlockReading(name=name, to_end=ends[i], **across))
    seen, depth = found.activity.seen.values(), depth_of(rows, start)
    read = Inspection(
        model=type(module).__name__, parameters=sum(p.numel() for p in module.parameters()), batch=_said(batch),
        probes=probes, seed=seed, rows=tuple(rows), start=start, depth=depth.blocks, total=depth.total,
        relative=math.nan, verdict="-", findings=(),
    )  # fmt: skip
    return read, min(seen, default=0)


def _start(module: nn.Module, found: Passage) -> str:
    """Return the place from which depth counts: the input of the first block, unless that is a weight layer.

    Before a weight layer are data, which are no preactivations: what it does to them is read, but has no verdict.
    """
    places = found.names
    if len(places) < 2:
        raise BadInput("one block that takes no floating tensor has no Jacobian: name one more, further on.")
    first = places[1] if places[0] == INPUT else places[0]
    plain = is_weight_layer(dict(module.named_modules())[first])
    return first if plain and first != places[-1] else places[0]


def _held(module: nn.Module, blocks: Sequence[Block]) -> dict[str, int]:
    """Return how many parameters the block that ends at each place holds."""
    return {tap.name: sum(p.numel() for p in module.get_submodule(b).parameters()) for b in blocks for tap in b.taps}


def _signal(found: Passage) -> dict[str, list[float]]:
    read = {"kernel": kernels, "dead": dead_shares, "cosine": sample_cosines, "tokens": token_cosines}
    return {name: measure(found).value.tolist() for name, measure in {**read, "variance": batch_variances}.items()}


def _to_end(found: Passage, generator: np.random.Generator, probes: int) -> list[Interval]:
    """Return J from each place but the last to the last."""
    last = found.names[-1]
    reading = partial_jacobians(found, [(name, last) for name in found.names[:-1]], generator=generator, probes=probes)
    return [_interval(reading, i, probes) for i in range(len(found.names) - 1)]


def _across(
    found: Passage, before: str, name: str, generator: np.random.Generator, probes: int, judged: bool, depth: int
) -> dict[str, Any]:
    """Return what one block does: chi, its verdict, skip, slope, and the factor that would mend it."""
    j, diagonal = transfer(found, before, name, generator=generator, probes=probes)
    chi, skip, slope = _interval(j, 0, probes), float(diagonal.value[0]), kernel_slope(found, before, name)
    verdict = verdict_of(chi, BLOCK_TOLERANCE) if judged else "-"
    off = verdict in ("ordered", "chaotic")
    scale = scale_of(chi.value, skip, slope, depth) if off else math.nan
    return {"chi": chi, "verdict": verdict, "skip": skip, "slope": slope, "scale": scale}


def _interval(reading: Reading, i: int, probes: int) -> Interval:
    assert reading.error is not None
    return interval_of(float(reading.value[i]), float(reading.error[i]), probes)


def _said(batch: Any) -> str:
    """Return the shapes and types of a batch in words."""
    named = batch.items() if isinstance(batch, Mapping) else ((" ", part) for part in _parts(batch))
    said = [
        f"{name} {tuple(part.shape)} {str(part.dtype).removeprefix('torch.')}".strip()
        for name, part in named
        if isinstance(part, Tensor)
    ]
    return ", ".join(said) or type(batch).__name__


def _parts(batch: Any) -> tuple[Any, ...]:
    return batch if isinstance(batch, tuple) else (batch,)


def _asleep(module: nn.Module) -> list[str]:
    """Return the batch normalizations that would use running statistics and have none yet."""
    return [
        name
        for name, part in module.named_modules()
        if isinstance(part, BATCH_NORMS) and not part.training and _untaught(part)
    ]


def _untaught(part: Any) -> bool:
    """Say whether the running statistics are those of a fresh module: mean 0 and variance 1, after no batch."""
    if part.num_batches_tracked is None or int(part.num_batches_tracked) > 0:
        return False
    return bool((part.running_mean == 0).all()) and bool((part.running_var == 1).all())
