"""A module whose weights are multiplied by auxiliary scalars, and the Jacobians between its blocks as their functions.

He, Doshi and Gromov 2022, arXiv:2206.13568: ``h^{l+1} = a_W W phi(h^l) + a_b b``; W and b stay as they were drawn, the
scalars move. The adjacent APJN J^{l,l+1} is Hutchinson's estimate, differentiated once more by the scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from phasescope.ensemble import streams
from phasescope.inspection.normalizations import Normalizations
from phasescope.instruments.forward_pass import Passage, passage
from phasescope.instruments.partial_jacobian import kernel_slope, partial_jacobians, probe
from phasescope.vocabulary import Array, BadInput, nearest

MANY = 2  # axes from which a parameter counts as a weight: vectors are biases and the gains of normalizations


@dataclass(frozen=True)
class Places:
    """Where a scaled module is read: ``pairs`` of adjacent places, and the block that owns the end of each."""

    names: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The adjacent pairs, in the order of the signal."""
        return list(zip(self.names[:-1], self.names[1:], strict=True))

    def owner(self, row: int) -> str:
        """Return the block whose call ends pair ``row``."""
        return self.names[row + 1].split("#")[0]


@dataclass(frozen=True)
class Found:
    """The Jacobians J (n,) of the adjacent pairs at some scalars, with ``error`` where it is known, and kernels (n+1,).

    A kernel is the mean square of the signal at a place, the input first; ``slope`` is d log of the last kernel by d
    log of the first.
    """

    jacobians: Array
    error: Array
    kernels: Array
    slope: float = 1.0


@dataclass(frozen=True)
class Goal:
    """What is asked of each pair (n,): log J = ``target`` within ``tolerance``, or at most that where ``bounded``.

    Nothing is asked where ``free``; where ``kept``, the target is the J that was there.
    """

    target: Array
    tolerance: Array
    bounded: Array
    free: Array
    kept: Array

    def distance(self, jacobians: Array) -> Array:
        """Return log J - target (n,), 0 where nothing more is asked; -inf where nothing passes."""
        with np.errstate(divide="ignore"):
            off = np.log(np.maximum(jacobians, 0)) - self.target
        return np.where(self.free | (self.bounded & (off < 0)), 0.0, off)

    def met(self, jacobians: Array, slack: Array | float = 0.0) -> Array:
        """Return which pairs (n,) are where they should be, give or take ``slack`` in log J."""
        allowed = self.tolerance + slack
        return np.asarray((np.abs(self.distance(jacobians)) < allowed) | self.free)


class Scaled:
    """``module`` with one scalar per weight of its ``blocks`` (and per bias, with ``biases``); nothing is changed yet.

    ``names`` are the scaled parameters and ``own`` says which of them each block has. A parameter that is used in two
    places has one scalar; a frozen one (``requires_grad`` False) has none and is listed in ``frozen``. Raises
    ``BadInput`` for unknown blocks, and when none has a weight that may be scaled.
    """

    def __init__(self, module: nn.Module, batch: Any, blocks: Sequence[str], *, biases: bool, probes: int, seed: int):
        self.module, self.batch, self.blocks = module, batch, tuple(blocks)
        self.probes, self.seed = probes, seed
        parts = dict(module.named_modules())
        for chosen in blocks:
            if chosen not in parts:
                raise BadInput(f"the model has no module {chosen!r}{nearest(chosen, list(parts)[1:13])}")
        known = dict(module.named_parameters())
        self.own: dict[str, list[int]] = {block: [] for block in blocks}
        self.names: list[str] = []
        self.frozen: list[str] = []
        for name, parameter in known.items():
            block = _inside(name, self.blocks)
            if block is None or not (parameter.dim() >= MANY or (biases and name.endswith("bias"))):
                continue
            if not parameter.requires_grad:
                self.frozen.append(name)
                continue
            self.own[block].append(len(self.names))
            self.names.append(name)
        if not any(known[name].dim() >= MANY for name in self.names):
            raise BadInput(
                f"none of the blocks {', '.join(blocks)} has a trainable weight to scale: choose blocks that have."
            )

    def parameters(self, scales: Sequence[Tensor] | Array) -> dict[str, Tensor]:
        """Return the scaled parameters by name; ``scales`` (P,) as numbers or as leaves of autograd."""
        known = dict(self.module.named_parameters())
        with torch.inference_mode(False), torch.enable_grad():  # also for a caller who asked for neither
            return {
                name: known[name].detach() * torch.as_tensor(a, device=known[name].device)
                for name, a in zip(self.names, scales, strict=True)
            }

    def fold(self, scales: Array) -> None:
        """Multiply the module's parameters by ``scales`` (P,), in place."""
        known = dict(self.module.named_parameters())
        with torch.no_grad():
            for name, a in zip(self.names, scales, strict=True):
                known[name].mul_(float(a))

    def measure(self, scales: Array, purpose: str, probes: int) -> tuple[Places, Found]:
        """Return the Jacobians at ``scales`` with their standard errors, from probes that belong to ``purpose``."""
        with self._passage(self.parameters(scales)) as found:
            places = Places(tuple(found.names))
            reading = partial_jacobians(found, places.pairs, generator=streams(self.seed)(purpose), probes=probes)
            kernels = [float(found.values[name].detach().double().square().mean()) for name in found.names]
            slope = kernel_slope(found, found.names[0], found.names[-1])
        assert reading.error is not None
        return places, Found(reading.value.numpy(), reading.error.numpy(), np.array(kernels), slope)

    def effects(self, scales: Array) -> list[Tensor]:
        """Return what the normalizations do at ``scales``: var/(var + eps) of every call, see ``Normalizations``."""
        seen = Normalizations()
        with passage(self.module, self.batch, self.blocks, parameters=self.parameters(scales), during=lambda _: seen):
            return seen.effects

    def slopes(self, scales: Array) -> tuple[Array, Array]:
        """Return J (n,) and S (n, P): d log J / d log a by each pair's own scalars and those of the block before.

        Those are the only ones that a homogeneous or normalized network's J depends on. One backward sweep reaches no
        further back than these two blocks. A pair with J = 0 has no slopes.
        """
        leaves = self._leaves(scales)
        with once_more(), self._passage(self.parameters(leaves)) as found:
            places = Places(tuple(found.names))
            estimates = self._estimates(found, places)
            table = np.zeros((len(estimates), len(leaves)))
            for row, estimate in enumerate(estimates):
                near = sorted({k for r in (row - 1, row) if r >= 0 for k in self.own[places.owner(r)]})
                if float(estimate.detach()) > 0 and near:
                    chosen = [leaves[k] for k in near]
                    found_slopes = torch.autograd.grad(estimate.log(), chosen, retain_graph=True, allow_unused=True)
                    table[row, near] = [0.0 if s is None else float(s) for s in found_slopes]
            values = np.array([float(estimate.detach()) for estimate in estimates])
        return values, table * scales

    def gradient(self, scales: Array, slope: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return J (n,) and the gradient (P,) by the scalars of a loss whose gradient by J is ``slope(J)``."""
        leaves = self._leaves(scales)
        with once_more(), self._passage(self.parameters(leaves)) as found:
            estimates = torch.stack(self._estimates(found, Places(tuple(found.names)))).double()
            values = estimates.detach().cpu().numpy()
            weights = torch.from_numpy(slope(values)).to(estimates.device)
            slopes = torch.autograd.grad(estimates, leaves, weights, allow_unused=True)
        return values, np.array([0.0 if s is None else float(s) for s in slopes])

    def floors(self) -> Array:
        """Return J (n,) with every scalar zero: what the skips alone pass on, mu^2; 0 in a network without them."""
        with self._passage(self.parameters(np.zeros(len(self.names)))) as found:
            return np.array([float(j.detach()) for j in self._estimates(found, Places(tuple(found.names)))])

    def _leaves(self, scales: Array) -> list[Tensor]:
        return [torch.tensor(float(a), dtype=torch.float64, requires_grad=True) for a in scales]

    def _passage(self, parameters: Mapping[str, Tensor]) -> AbstractContextManager[Passage]:
        return _twice(self.module, self.batch, self.blocks, parameters)

    def _estimates(self, found: Passage, places: Places) -> list[Tensor]:
        # the same probes at every step: the descent is on one function, which independent probes check at the end
        generator = streams(self.seed)("autoinit probes")

        def estimate(start: str, end: str) -> Tensor:
            drawn = [probe(found, end, [start], generator, create_graph=True)[0] for _ in range(self.probes)]
            return torch.stack(drawn).mean()

        return [estimate(start, end) for start, end in places.pairs]


@contextmanager
def _twice(module: nn.Module, batch: Any, blocks: Sequence[str], parameters: Mapping[str, Tensor]) -> Iterator[Passage]:
    """A passage whose gradients can be differentiated: attention is written out, its fast kernels allow it once."""
    with _WRITTEN_OUT, passage(module, batch, blocks, parameters=parameters) as found:
        yield found


@contextmanager
def once_more() -> Iterator[None]:
    """Say in a sentence where the gradients of a model can not be differentiated once more."""
    try:
        yield
    except BadInput:
        raise
    except RuntimeError as error:
        said = str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
        raise BadInput(
            f"the gradients of this model can not be differentiated once more ({said}): it changes a tensor in place "
            "or has a backward pass of its own; scale its weights by what ps.inspect finds."
        ) from error


class _WrittenOut:
    """Attention without fast kernels, as long as anybody is inside: torch's switch is one for all threads."""

    def __init__(self) -> None:
        self.lock, self.inside, self.switch = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.switch.enter_context(sdpa_kernel(SDPBackend.MATH))
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.switch.close()


_WRITTEN_OUT = _WrittenOut()


def _inside(name: str, blocks: Sequence[str]) -> str | None:
    """Return the innermost of ``blocks`` that the parameter ``name`` belongs to."""
    homes = [block for block in blocks if name.startswith(f"{block}.")]
    return max(homes, key=len, default=None)
