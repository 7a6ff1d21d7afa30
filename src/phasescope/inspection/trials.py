"""Passes through a model with something changed, functionally: other weights, a larger input, skip connections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from phasescope.ensemble import streams
from phasescope.inspection.judge import relative_log
from phasescope.inspection.normalizations import Normalizations
from phasescope.instruments.forward_pass import INPUT, Altered, Passage, passage
from phasescope.instruments.graph import watched
from phasescope.instruments.partial_jacobian import kernel_slope, partial_jacobians

PROBES = 4  # of a trial, which has a factor of two to tell and not a percent


@dataclass
class Surroundings:
    """What a pass goes through: per place the modules called since the one before; effects and values, see
    ``Normalizations``; the shapes of the places."""

    called: list[tuple[int, str, nn.Module]] = field(default_factory=list)
    effects: list[Tensor] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    slope: float = 1.0


@dataclass
class Tried:
    """What a trial gave: chi (n,) of each pair of adjacent places, J over the depth and its log as it is judged."""

    chi: list[float]
    total: float
    log: float
    effects: list[Tensor]


class Trials:
    """Passes through ``module`` with something changed; the module itself is not."""

    def __init__(self, module: nn.Module, batch: Any, names: tuple[str, ...], seed: int, start: str) -> None:
        self.module, self.batch, self.names, self.seed, self.start = module, batch, names, seed, start

    def look(self) -> Surroundings:
        """Return what stands between the places."""
        seen, counted = Surroundings(), Normalizations()

        @contextmanager
        def watching(found: Passage) -> Iterator[None]:
            def note(name: str) -> Callable[..., None]:
                return lambda part, *_: seen.called.append((len(found.names), name, part))

            with ExitStack() as handles, counted:
                for name, part in watched(self.module):
                    if next(part.children(), None) is None:
                        handles.callback(part.register_forward_pre_hook(note(name)).remove)
                yield

        with passage(self.module, self.batch, self.names, during=watching) as found:
            seen.shapes = [tuple(found.values[name].shape[1:]) for name in found.names]
            seen.slope = kernel_slope(found, self.start, found.names[-1])
        seen.effects, seen.values = counted.effects, counted.values
        return seen

    def scaled(self, factors: Mapping[str, float]) -> Tried:
        """Try ``factors`` block -> factor on all weights (two axes or more) of these blocks."""
        parameters = {
            name: parameter.detach() * factors[block]
            for name, parameter in self.module.named_parameters()
            if parameter.dim() > 1 and (block := _home(name, factors)) is not None
        }
        return self._try(parameters)

    def larger(self, factor: float) -> Tried:
        """Try ``factor`` on what the first block is given."""
        return self._try(None, lambda name, h, found: factor * h if name == INPUT else h)

    def with_skips(self) -> Tried | None:
        """Try what each block was given added to what it gives, where both have one shape; None where none has."""
        added = 0

        def altered(name: str, h: Tensor, found: Passage) -> Tensor:
            nonlocal added
            before = found.values[found.names[-1]] if found.names else None
            if before is None or before.shape != h.shape:
                return h
            added += 1
            return h + before

        tried = self._try(None, altered)
        return tried if added else None

    def _try(self, parameters: Mapping[str, Tensor] | None, altered: Altered | None = None) -> Tried:
        counted = Normalizations()
        common: dict[str, Any] = {"parameters": parameters, "during": lambda _: counted, "altered": altered}
        with passage(self.module, self.batch, self.names, **common) as found:
            places, last = found.names, found.names[-1]
            pairs = [*pairwise(places), (self.start, last)]
            generator = streams(self.seed)("advice", 0)
            values = partial_jacobians(found, pairs, generator=generator, probes=PROBES).value.tolist()
            ends = (self.start, last)
            kernels = [float(found.values[name].detach().double().square().mean()) for name in ends]
            slope = kernel_slope(found, *ends)
        log = math.log(values[-1]) if values[-1] > 0 else -math.inf
        judged = relative_log(log, kernels[0], kernels[1], slope if counted.effects else 1.0)
        return Tried(values[:-1], values[-1], judged, counted.effects)


def _home(name: str, blocks: Mapping[str, Any]) -> str | None:
    """Return the innermost of ``blocks`` that the parameter ``name`` belongs to."""
    return max((block for block in blocks if name.startswith(f"{block}.")), key=len, default=None)
