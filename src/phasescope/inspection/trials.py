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
from phasescope.instruments.forward_pass import Passage, passage, swapped, tensor_of
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
                for name, part in self.module.named_modules():
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

        def before(part: nn.Module, args: Any, keywords: Any) -> Any:
            h = tensor_of(args) if tensor_of(args) is not None else tensor_of(keywords)
            return None if h is None else (swapped(args, h, factor * h), swapped(keywords, h, factor * h))

        @contextmanager
        def during(found: Passage) -> Iterator[None]:
            handle = self.module.get_submodule(self.names[0]).register_forward_pre_hook(before, with_kwargs=True)
            try:
                yield
            finally:
                handle.remove()

        return self._try(None, during, inputs=factor)

    def with_skips(self) -> Tried | None:
        """Try what each block was given added to what it gives, where both have one shape; None where none has."""
        holder: list[Passage] = []
        added = 0

        def after(part: nn.Module, args: Any, out: Any) -> Any:
            nonlocal added
            h, found = tensor_of(out), holder[0]
            if h is None or not found.names or found.values[found.names[-1]].shape != h.shape:
                return None
            added += 1
            return swapped(out, h, h + found.values[found.names[-1]] + found.leaves[found.names[-1]])

        @contextmanager
        def during(found: Passage) -> Iterator[None]:
            holder.append(found)
            yield

        with ExitStack() as handles:
            for name in self.names:  # before the passage's own hooks, which then see the sum
                handles.callback(self.module.get_submodule(name).register_forward_hook(after).remove)
            tried = self._try(None, during)
        return tried if added else None

    def _try(
        self,
        parameters: Mapping[str, Tensor] | None,
        during: Callable[[Passage], Any] | None = None,
        inputs: float = 1.0,
    ) -> Tried:
        counted = Normalizations()

        @contextmanager
        def both(found: Passage) -> Iterator[None]:
            with ExitStack() as stack:
                if during is not None:
                    stack.enter_context(during(found))
                stack.enter_context(counted)
                yield

        with passage(self.module, self.batch, self.names, parameters=parameters, during=both) as found:
            places, last = found.names, found.names[-1]
            pairs = [*pairwise(places), (self.start, last)]
            generator = streams(self.seed)("advice", 0)
            values = partial_jacobians(found, pairs, generator=generator, probes=PROBES).value.tolist()
            ends = (self.start, last)
            kernels = [float(found.values[name].detach().double().square().mean()) for name in ends]
            slope = kernel_slope(found, *ends)
        if self.start == places[0]:  # the place is before the factor
            values[0], values[-1], kernels[0] = values[0] / inputs**2, values[-1] / inputs**2, kernels[0] * inputs**2
        log = math.log(values[-1]) if values[-1] > 0 else -math.inf
        judged = relative_log(log, kernels[0], kernels[1], slope if counted.effects else 1.0)
        return Tried(values[:-1], values[-1], judged, counted.effects)


def _home(name: str, blocks: Mapping[str, Any]) -> str | None:
    """Return the innermost of ``blocks`` that the parameter ``name`` belongs to."""
    return max((block for block in blocks if name.startswith(f"{block}.")), key=len, default=None)
