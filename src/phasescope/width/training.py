"""One network of a builder, trained a few steps, with the sizes of what its layers put out before and after each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from phasescope.checks import shown, takes, word
from phasescope.ensemble.losses import loss_of
from phasescope.ensemble.optimizers import Optimizer, clipped
from phasescope.ensemble.streams import batch_order, drawing, replaced_order
from phasescope.inspection.batches import fitted, users_code
from phasescope.instruments.calls import call
from phasescope.instruments.given_back import untouched
from phasescope.samples import IGNORED, as_array
from phasescope.vocabulary import Array, BadInput, Recipe
from phasescope.width.scaling import PARAMETRIZATIONS, Scaling, scalings

OUTPUT = "output"
SAME = (
    "the networks of all seeds are the same to the last bit, so nothing is known of their scatter: let the builder "
    "draw its weights from torch's or numpy's shared generator, and set no seed in it."
)
ALIKE = "the networks of all {along}s are the same to the last bit: let the builder use its argument."
IDLE = ("sam", "average", "stop", "overtime", "patience")
READ = 256  # samples on which activations are read, at most


@dataclass(frozen=True)
class Plan:
    """What every network of a check is given.

    ``builder``: size -> module. ``inputs``: a tensor, a tuple or a mapping of them, N samples along the first axis of
    each. ``targets`` (N, ...). ``make``: one's own optimizer, (module, size) -> ``torch.optim.Optimizer``, or None.
    ``seen``: the weights of networks that were built and are still held by somebody, by their ``id``.
    """

    builder: Callable[[int], Any]
    inputs: Any
    targets: Tensor
    recipe: Recipe
    parametrization: Any
    base: int
    make: Callable[[nn.Module, int], Any] | None
    layers: tuple[str, ...] | None = None
    seen: WeakValueDictionary[int, Tensor] = field(default_factory=WeakValueDictionary, compare=False, repr=False)

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.targets)


@dataclass(frozen=True)
class Trained:
    """``sizes``, ``changes`` (T + 1, layers): root mean squares of outputs, and of what was added since the start."""

    names: tuple[str, ...]
    sizes: Array
    changes: Array


def planned(
    builder: Any, data: Any, recipe: Recipe | None, parametrization: Any, base: int, make: Any, layers: Any, usual: Any
) -> Plan:
    """Return the plan of a check after a look at its parts. Raises ``BadInput``."""
    takes("builder", builder, "width")
    parametrization = word(*PARAMETRIZATIONS)("parametrization", parametrization)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise BadInput("data is no pair: give (inputs, targets), such as (X, y).")
    inputs, targets = data[0], targets_of(data[1], "the targets")
    if recipe is None:
        recipe = usual("mse" if targets.is_floating_point() else "cross_entropy")
    if not isinstance(recipe, Recipe):
        raise BadInput("recipe is no ps.Recipe: give one, such as ps.Recipe(optimizer='sgd', lr=0.1, steps=3).")
    idle = [name for name in IDLE if getattr(recipe, name) != Recipe.model_fields[name].default]
    if idle:
        raise BadInput(f"recipe has {idle[0]}={shown(getattr(recipe, idle[0]))}, which is not used here: leave it out.")
    if recipe.loss == "cross_entropy" or (recipe.loss == "mse" and not targets.is_floating_point()):
        classes(targets, "the targets")
    if make is not None:
        takes("optimizer", make, "module", "width")
    if parametrization != "given" and (make is not None or callable(recipe.optimizer)):
        raise BadInput(
            f"parametrization is {parametrization!r}, and the optimizer is your own: its rates are not known; name one "
            "of ps.Recipe, or give a builder and an optimizer in that parametrization."
        )
    return Plan(builder, inputs, targets, recipe, parametrization, base, make, layers)


def targets_of(values: Any, name: str) -> Tensor:
    """Return targets as a tensor, whole numbers as int64. Raises ``BadInput`` for none, and for NaN and infinities."""
    targets = torch.from_numpy(np.array(as_array(values, name)))  # a copy: some arrays are not to be written
    if targets.ndim == 0 or not len(targets):
        raise BadInput(f"{name} are empty: give one for each input.")
    if not targets.is_floating_point():
        return targets.long()
    if bool((~torch.isfinite(targets)).any()):
        raise BadInput(f"{name} hold a number that is not finite: mend or leave out such rows.")
    return targets


def classes(targets: Tensor, name: str) -> None:
    """Raise ``BadInput`` for targets that are no classes, 0, 1, ..., or the mark of what is left out."""
    if targets.is_floating_point():
        raise BadInput(f"{name} are no classes, and loss is 'cross_entropy': give whole numbers, or loss='mse'.")
    wrong = targets[(targets < 0) & (targets != IGNORED)]
    if len(wrong):
        raise BadInput(f"{name} hold the class {int(wrong[0])}: give whole numbers from 0 on.")


def built(plan: Plan, size: int, seed: int) -> nn.Module:
    """Return the network of one size and seed. Raises ``BadInput`` for what is no network, or not a new one."""
    with users_code(f"the builder at {size}"), drawing(seed):
        module = plan.builder(size)
    if not isinstance(module, nn.Module):
        raise BadInput(f"the builder gives a {type(module).__name__} at {size}: it must return a torch.nn.Module.")
    for name, p in module.named_parameters():
        if is_lazy(p):
            raise BadInput(
                f"{name!r} of the builder's network has no shape yet: let the builder run it on inputs once."
            )
        if p.requires_grad and plan.seen.get(id(p)) is p:
            raise BadInput(
                f"{name!r} of the builder's network at {size} is that of a network which it returned before, and has "
                "learnt: let it build a new network at each call."
            )
        plan.seen[id(p)] = p
    if not any(p.requires_grad for p in module.parameters()):
        raise BadInput(f"the builder's network at {size} has no weights that learn: let it have some.")
    return module


def scaled(plan: Plan, module: nn.Module, size: int, base: nn.Module | None) -> dict[str, Scaling]:
    """Rescale the first weights of ``module`` in place as the parametrization says, and return what it says."""
    if base is None or plan.parametrization == "given":
        return {}
    found = scalings(base, module, plan.parametrization, str(plan.recipe.optimizer))
    with torch.no_grad():
        for name, p in module.named_parameters():
            if found[name].initial != 1:
                p.mul_(found[name].initial)
    return found


@dataclass(frozen=True)
class Begun:
    """A network before its first step: of one size and seed, rescaled as the parametrization says (``factors``)."""

    module: nn.Module
    size: int
    seed: int
    factors: Mapping[str, Scaling]


def begun(plan: Plan, size: int, seed: int) -> Begun:
    """Return the network of one size and seed as training begins. Raises ``BadInput``."""
    module = built(plan, size, seed)
    base = built(plan, plan.base, seed) if plan.parametrization != "given" else None
    return Begun(module, size, seed, scaled(plan, module, size, base))


class Steps:
    """Takes the steps of one network: its loss, gradients, and the optimizer with a rate for each parameter."""

    def __init__(self, plan: Plan, network: Begun) -> None:
        self.plan, self.module, self.seed = plan, network.module, network.seed
        module, size, factors = network.module, network.size, network.factors
        precision = next(p.dtype for p in module.parameters() if p.is_floating_point())
        if plan.recipe.dtype == "float64" and precision != torch.float64:
            raise BadInput(
                f"recipe has dtype='float64', and the builder's network is {str(precision).removeprefix('torch.')}: "
                "let it return module.double(), or leave dtype out."
            )
        self.inputs = fitted(plan.inputs, module)
        counted(self.inputs, plan.samples)
        device = next(module.parameters()).device
        self.targets = plan.targets.to(device)
        if self.targets.is_floating_point():
            self.targets = self.targets.to(precision)
        self.loss = loss_of(plan.recipe)
        self.own = None
        if plan.make is not None:
            with users_code("the optimizer"):
                self.own = plan.make(module, size)
            if not hasattr(self.own, "step") or not hasattr(self.own, "zero_grad"):
                raise BadInput(f"the optimizer is a {type(self.own).__name__}: let it return a torch.optim.Optimizer.")
            return
        self.learnt = {name: p for name, p in module.named_parameters() if p.requires_grad}
        limits = (plan.recipe.clip_value, plan.recipe.clip_norm)
        self.limits = [torch.tensor([x], device=device) if math.isfinite(x) else None for x in limits]
        groups: dict[float, list[str]] = {}
        for name in self.learnt:
            groups.setdefault(factors[name].rate if name in factors else 1.0, []).append(name)
        self.groups = []
        for factor, names in groups.items():
            recipe = plan.recipe.model_copy(
                update={"lr": plan.recipe.lr * factor, "clip_norm": math.inf, "clip_value": math.inf}
            )
            stacked = {name: self.learnt[name].detach()[None] for name in names}
            self.groups.append((Optimizer([recipe], stacked, device), stacked))

    def loss_on(self, inputs: Any, targets: Tensor) -> Tensor:
        """Return the mean loss of ``inputs``; of outputs in several parts the first, or ``logits``, is taken."""
        with users_code("the network, on the inputs,"):
            outputs = call(self.module, inputs)
        outputs = first_tensor(getattr(outputs, "logits", outputs))
        if not isinstance(outputs, Tensor):
            raise BadInput("the network returns no tensor: let it return one, (N, K).")
        if isinstance(self.loss.kind, str):
            targets = beside(outputs, targets)
            with users_code("the loss of outputs and targets", always=True):
                return self.loss.mean(outputs, targets, counted_of(targets))
        with users_code("the loss"):
            return self.loss.each(outputs, targets).mean()

    def take(self, step: int) -> None:
        """Take step ``step`` (1, 2, ...)."""
        inputs, targets = self.inputs, self.targets
        size = self.plan.recipe.batch
        if size is not None and size < self.plan.samples:
            order = batch_order if self.plan.recipe.sampling == "epochs" else replaced_order
            rows = torch.from_numpy(order(self.seed, np.arange(self.plan.samples), size, step, 1)[0].astype(np.int64))
            inputs, targets = part_of(inputs, rows, self.plan.samples), targets[rows]
        if self.own is not None:
            self.own.zero_grad()
            self.loss_on(inputs, targets).backward()  # type: ignore[no-untyped-call]
            self.own.step()
            return
        loss = self.loss_on(inputs, targets)
        found = torch.autograd.grad(loss, list(self.learnt.values()), allow_unused=True)
        whole = [
            (g if g is not None else torch.zeros_like(p))[None]
            for g, p in zip(found, self.learnt.values(), strict=True)
        ]
        gradients = dict(zip(self.learnt, clipped(whole, self.limits[0], self.limits[1], []), strict=True))
        for optimizer, stacked in self.groups:
            optimizer.step(stacked, [gradients[name] for name in stacked], step)

    def evaluated(self, inputs: Any, targets: Tensor) -> float:
        """Return the loss on ``inputs``, in evaluation mode, without a trace."""
        with untouched(self.module, inputs), torch.no_grad():
            return float(self.loss_on(inputs, targets))


def beside(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return targets as ``outputs`` (N, ...) want them: classes, or as many numbers for each sample. Raises."""
    if not targets.is_floating_point():
        many = outputs.shape[-1] if outputs.ndim else 0
        if bool((targets >= many).any()):
            raise BadInput(f"the targets have class {int(targets.max())}, and the network has {many} outputs.")
        return targets
    if targets.numel() != outputs.numel() or targets.shape[:1] != outputs.shape[:1]:
        raise BadInput(
            f"the targets are real numbers of the shape {tuple(targets.shape)}, and the network's outputs have "
            f"{tuple(outputs.shape)}: give as many numbers for each sample; for classes, give whole numbers."
        )
    return targets.reshape(outputs.shape)


def counted_of(targets: Tensor) -> Tensor | None:
    """Return which of the classes (N,) count, 1 or 0, where some are marked as left out; or None."""
    left_out = targets == IGNORED
    some = targets.ndim == 1 and not targets.is_floating_point() and bool(left_out.any())
    return (~left_out).to(torch.get_default_dtype()) if some else None


def part_of(inputs: Any, rows: Tensor, count: int) -> Any:
    """Return the rows of a tensor, or of each tensor with ``count`` rows in a tuple or a mapping."""
    if isinstance(inputs, tuple):
        return tuple(part_of(part, rows, count) for part in inputs)
    if isinstance(inputs, Mapping):
        return {name: part_of(part, rows, count) for name, part in inputs.items()}
    whole = isinstance(inputs, Tensor) and inputs.ndim and len(inputs) == count
    return inputs[rows.to(inputs.device)] if whole else inputs


def counted(inputs: Any, count: int, of: str = "") -> None:
    """Raise ``BadInput`` unless a part of the inputs, or all of them, has ``count`` rows."""
    parts = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (inputs,)
    sizes = [len(part) for part in parts if isinstance(part, Tensor | np.ndarray) and part.ndim]
    if not sizes:
        raise BadInput(f"the inputs{of} are no array: give (N, ...), or a tuple or a mapping of arrays.")
    if count not in sizes:
        raise BadInput(f"there are {sizes[0]} inputs and {count} targets{of}: give one target for each input.")


def first_tensor(value: Any) -> Tensor | None:
    """Return the first tensor in what a module returns, or None."""
    if isinstance(value, Tensor):
        return value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def places_of(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that are read: those with weights of their own of two axes or more, by name."""
    owners = {
        name: part for name, part in module.named_modules() if name and any(p.ndim > 1 for p in _own_parameters(part))
    }
    return owners


def _own_parameters(part: nn.Module) -> list[Tensor]:
    weights: list[Tensor] = list(part.parameters(recurse=False))
    held = getattr(part, "parametrizations", None)  # weight_norm and the like keep the weight one level down
    return weights + (list(held.parameters()) if isinstance(held, nn.ModuleDict) else [])


def read(module: nn.Module, inputs: Any, names: Sequence[str] | None) -> dict[str, Tensor]:
    """Return what layers put out at their first call, and the network's output, in the order of calls, (entries,)."""
    parts = dict(module.named_modules())
    wanted = list(places_of(module)) if names is None else [name for name in names if name != OUTPUT]
    missing = [name for name in wanted if name not in parts]
    if missing:
        raise BadInput(f"the network has no layer {missing[0]!r}: name layers that it has at every width.")
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str) -> Any:
        def keep(_: Any, __: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if name not in found and tensor is not None and tensor.is_floating_point():
                found[name] = tensor, flat(tensor)  # at once: the next layer may work in its place

        return keep

    with untouched(module, inputs), torch.no_grad():
        handles = [parts[name].register_forward_hook(hook(name)) for name in wanted]
        try:
            with users_code("the network, on the inputs,"):
                output = first_tensor(call(module, inputs))
        finally:
            for handle in handles:
                handle.remove()
        if output is None:
            raise BadInput("the network returns no tensor: let it return one, (N, K).")
        kept = {name: values for name, (value, values) in found.items() if value is not output}
        return {**kept, OUTPUT: flat(output)}


def flat(value: Tensor) -> Tensor:
    """Return a copy of the entries, (entries,), float64."""
    return value.detach().flatten().to(torch.float64, copy=True)


def trained(plan: Plan, network: Begun) -> Trained:
    """Train a network, and read its layers at the start and after each step."""
    module, seed = network.module, network.seed
    steps = Steps(plan, network)
    few = part_of(steps.inputs, torch.arange(min(READ, plan.samples)), plan.samples)
    start = read(module, few, plan.layers)
    names = tuple(start)
    rows = [(_sizes(start), np.zeros(len(names)))]
    with drawing(seed):  # what drops units at random draws from the member's own stream
        for step in range(1, plan.recipe.steps + 1):
            steps.take(step)
            now = read(module, few, [name for name in names if name != OUTPUT])
            rows.append((_sizes(now), _sizes({name: now[name] - start[name] for name in names})))
    return Trained(names, np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))


def _sizes(values: Mapping[str, Tensor]) -> Array:
    return np.array([float(value.square().mean().sqrt()) if value.numel() else math.nan for value in values.values()])


def with_rate(plan: Plan, rate: float) -> Plan:
    """Return the plan with another learning rate."""
    return replace(plan, recipe=plan.recipe.model_copy(update={"lr": rate}))
