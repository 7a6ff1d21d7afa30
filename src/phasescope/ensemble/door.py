"""The door for networks: one forward pass before anything is trained, and what can be seen from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from phasescope.ensemble.handed import answer
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.losses import loss_of
from phasescope.ensemble.marks import of_the_house, structure
from phasescope.ensemble.own import check_own
from phasescope.ensemble.slices import named
from phasescope.ensemble.streams import copied, undisturbed, undrawn
from phasescope.identity import Origin, fingerprint, network_parts, origin_of
from phasescope.vocabulary import BadInput


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """Return ``value`` as an int >= ``least``. Raises ``BadInput``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise BadInput(f"{name} is {value!r}: it must be a whole number of at least {least}.")
    return int(value)


def check_networks(jobs: Sequence[Job], *, side_by_side: bool) -> None:
    """Pass a few rows through every different network. Raises ``BadInput`` for what can not be trained as it is asked.

    That is an output that does not fit the classes or targets, numbers in another precision than the recipe's,
    randomness that no stream can replay, and no parameter that learns.
    """
    for job in {job.shape_key: job for job in jobs}.values():
        with named([job]):
            _check_network(job)
            if side_by_side:
                check_side_by_side(job)


def _check_network(job: Job) -> None:
    _check_precision(job)
    if not any(p.requires_grad for p in job.module.parameters()):
        raise BadInput(f"{_named(job)} has no parameter that learns: leave requires_grad of some at True.")
    out = _passed(job)
    _check_output(job, out)
    if not out.requires_grad:
        raise BadInput(f"what {_named(job)} answers has no gradient: is it detached, or taken without one?")
    check_own(job, out, _targets(job))
    _refuse_hooks(job)
    if not of_the_house(job.module):
        _refuse_moods(job)
    _check_handed(job)


def check_side_by_side(job: Job) -> None:
    """Raise ``BadInput`` for a network that ``torch.func`` can not train beside others, or would train wrongly."""
    _refuse_unstackable(job)
    _check_stacked(job)


def check_answers(jobs: Sequence[Job]) -> None:
    """Pass a few rows through every different network that is only read. Raises ``BadInput`` for misshapen answers."""
    for job in {(job.marks.shape, job.sample.shape): job for job in jobs}.values():
        _check_output(job, _passed(job))


def _named(job: Job) -> str:
    return f"the network {type(job.module).__name__}"


def _check_precision(job: Job) -> None:
    for name, parameter in (*job.module.named_parameters(), *job.module.named_buffers()):
        if parameter.is_meta:
            raise BadInput(f"{name} of {_named(job)} is on the meta device and has no values: put it on the CPU.")
        if parameter.is_complex():
            raise BadInput(
                f"{name} of {_named(job)} is {parameter.dtype}: keep its real and imaginary parts as real numbers "
                "(torch.view_as_real), and put them together in forward (torch.view_as_complex)."
            )
        if not isinstance(parameter, nn.Parameter):
            continue
        if not parameter.is_floating_point():
            raise BadInput(f"{name} of {_named(job)} is {parameter.dtype}: keep whole numbers in a buffer.")
        own = str(parameter.dtype).removeprefix("torch.")
        if own not in ("float32", job.recipe.dtype):
            mend = f'give the recipe dtype="{own}"' if own == "float64" else "call .float() on it"
            raise BadInput(f"{name} of {_named(job)} is {own}, and the recipe trains in {job.recipe.dtype}: {mend}.")


def _ready(job: Job) -> tuple[nn.Module, Tensor]:
    """Return a copy of the network in training, and two or more rows for it, both in the recipe's precision."""
    dtype, first = getattr(torch, job.recipe.dtype), job.sample.first
    rows = torch.from_numpy(np.repeat(first, 1 if len(first) > 1 else 2, 0))  # batch normalization needs two
    return copied(job.module).to(dtype).train(), rows.to(dtype) if rows.is_floating_point() else rows


def _targets(job: Job) -> Tensor:
    """Return the labels or targets of the rows of ``_ready``."""
    answers = job.sample.answers
    found = torch.from_numpy(answers if len(answers) > 1 else np.repeat(answers, 2, 0))
    return found.to(getattr(torch, job.recipe.dtype)) if found.is_floating_point() else found


def _passed(job: Job) -> Tensor:
    """Return what the network makes of the first rows, as in training."""
    refuse_stateful_dropout(job.module)
    module, rows = _ready(job)
    held = _kept(module)

    def ask() -> Any:
        try:
            return module(rows)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            # what a user's own forward raises about rows it was not made for
            said = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            said += "" if rows.is_floating_point() else '; for numbers, give inputs.astype("float32")'
            raise BadInput(
                f"{_named(job)} fails on inputs of {job.task.name!r}, {rows.dtype} of shape {tuple(rows.shape)}: {said}"
            ) from error

    out = undrawn(
        ask,
        f"{_named(job)} draws random numbers in forward from a global generator, which no stream can replay: "
        "use phasescope.learners.KeyedDropout, or put the noise into the data.",
    )
    changed = sorted(name for name, mark in _kept(module).items() if held.get(name) != mark)
    if changed:
        raise BadInput(
            f"{_named(job)} sets {', '.join(changed[:3])} in its forward pass, which members trained together would "
            "share or lose: keep what changes in a buffer, changed in place (self.name.copy_(...)), results nowhere."
        )
    if not isinstance(out, Tensor):
        raise BadInput(f"{_named(job)} returns {type(out).__name__}: it must return one tensor (N, K), the outputs.")
    if not out.is_floating_point():
        raise BadInput(f"{_named(job)} returns {out.dtype}: its outputs must be real numbers, before any argmax.")
    return out


def _kept(module: nn.Module) -> dict[str, Any]:
    """Return what a network keeps beside its parameters, by name: buffers by which they are, the rest by content."""
    found: dict[str, Any] = {}
    for path, part in module.named_modules():
        tensors, held = network_parts(part)
        dot = f"{path}." if path else ""
        found |= {f"{dot}{name}": id(value) for name, value in tensors.items()}
        for name, value in held.items():
            if not isinstance(value, nn.Module):
                found[f"{dot}{name}"] = fingerprint(value, weights=False)
    return found


def _refuse_moods(job: Job) -> None:
    """Raise ``BadInput`` for a network that does not answer the same when it is asked the same again."""
    (one, rows), (other, again) = _ready(job), _ready(job)
    weights = [(p.detach().clone(), p._version) for p in one.parameters()]
    mark, outside = structure(one), _outside(one)
    with torch.no_grad(), undisturbed():
        try:
            first, second = one(rows), other(again)
        except RuntimeError as error:
            said = " ".join(str(error).split())[:120]
            raise BadInput(
                f"{_named(job)} fails when it is read, which is without gradients ({said}): where its forward pass "
                "takes one itself, let it do so under torch.enable_grad()."
            ) from error
        if structure(one) != mark:
            after = _outside(one)
            names = ", ".join(sorted(name for name, was in outside.items() if after[name] != was)[:3])
            what = names or "its class, a function that it calls, or a default of it,"
            raise BadInput(
                f"{_named(job)} changes {what} in its forward pass, which all members would share, and a resumed run "
                "would lose: keep what changes in a buffer, changed in place (self.name.copy_(...))."
            )
        if not torch.allclose(first, second, rtol=1e-6, atol=1e-8, equal_nan=True):
            raise BadInput(
                f"{_named(job)} answers otherwise when the same weights are asked about the same rows again: let its "
                "forward pass depend on these and on buffers alone; for chance, use phasescope.learners.KeyedDropout."
            )
        if not torch.equal(rows.nan_to_num(), _ready(job)[1].nan_to_num()):
            raise BadInput(f"{_named(job)} changes its inputs in place: let it work on a copy (x = x * 2, x.clone()).")
    for (name, p), (was, version) in zip(one.named_parameters(), weights, strict=True):
        if p._version != version or not torch.allclose(was, p, 0, 0, equal_nan=True):
            raise BadInput(
                f"{_named(job)} changes its weights {name} in its forward pass, as an embedding's max_norm does: leave "
                "them to the optimizer, and work with a scaled copy."
            )


def _outside(module: nn.Module) -> dict[str, str]:
    """Return the globals that the code of a user's network names, each with its fingerprint where it has one.

    Functions and classes, which name others themselves, are left out.
    """
    found: dict[str, str] = {}
    for kind in {type(part) for part in module.modules() if origin_of(type(part)) is Origin.USER}:
        for method in vars(kind).values():
            code, space = getattr(method, "__code__", None), getattr(method, "__globals__", {})
            for name in set(code.co_names) & space.keys() if code else ():
                if not callable(space[name]):
                    with suppress(BadInput):
                        found[name] = fingerprint(space[name])
    return found


def _refuse_hooks(job: Job) -> None:
    """Raise ``BadInput`` for hooks on gradients, which not every engine would call."""
    for name, parameter in job.module.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise BadInput(
                f"{name} of {_named(job)} has a hook on its gradient, which is not called here: take it off."
            )


def _refuse_unstackable(job: Job) -> None:
    """Raise ``BadInput`` for what training side by side would leave out in silence, or what torch can not swap."""
    first: dict[int, str] = {}
    for name, part in job.module.named_modules(remove_duplicate=False):
        if isinstance(part, nn.RNNBase):  # its kernels have no rule for vmap, or one that goes through them one by one
            raise BadInput(
                f"{_named(job)} has a recurrent layer, {name!r}, which torch can not train side by side: choose auto."
            )
        other = first.setdefault(id(part), name)
        if other != name and any(True for _ in part.parameters()):
            raise BadInput(
                f"{_named(job)} has one layer under two names, {other!r} and {name!r}: keep it under one and call it "
                "twice, or share its weight (b.weight = a.weight)."
            )


def _check_output(job: Job, out: Tensor) -> None:
    rows, classes = max(len(job.sample.first), 2), job.task.classes
    real, own = job.sample.real, callable(job.recipe.loss)
    before = (rows, *job.sample.answers.shape[1:2]) if job.sample.positions else (rows,)
    wide = own if real else out.shape[-1] >= classes  # one's own loss of real targets may ask for more than one each
    fits = out.ndim == len(before) + 1 and tuple(out.shape[:-1]) == before and (wide or out.shape[-1] == classes)
    if not fits:
        shape = f"(N, {before[1]}, {classes})" if job.sample.positions else f"(N, {classes})"
        wanted = f"{shape}, one column per {'target' if real else 'class'}"
        raise BadInput(
            f"{_named(job)} makes {tuple(out.shape)} of {rows} rows, and {job.task.name!r} has {classes} "
            f"{'targets' if real else 'classes'}: its output must be {wanted}."
        )
    if real and job.recipe.loss == "cross_entropy":
        raise BadInput(f"loss is 'cross_entropy', and {job.task.name!r} has real targets: use loss='mse'.")


def _check_stacked(job: Job) -> None:
    """Take the gradient as a tile of one network does: what can not be stacked is told here."""
    module, rows = _ready(job)
    own = [(name, p.detach()[None], p.requires_grad) for name, p in module.named_parameters()]
    learnt, rest = ({name: value for name, value, learns in own if learns == wanted} for wanted in (True, False))
    state = {name: buffer[None].clone() for name, buffer in module.named_buffers()}

    def total(weights: Any, fixed: Any, buffers: Any, inputs: Any, targets: Any) -> Any:
        out = answer(module, {**weights, **fixed, **buffers}, inputs)
        return loss_of(job.recipe).mean(out, targets, None), buffers

    try:
        vmap(grad(total, has_aux=True))(learnt, rest, state, rows[None], _targets(job)[None])
    except (RuntimeError, NotImplementedError, ValueError) as error:
        # torch's words for what its function transforms can not do: branches on values above all
        said = " ".join(str(error).split())[:150]
        raise BadInput(
            f"{_named(job)} can not be trained side by side with others: {said}; write its forward pass without "
            "branches on values."
        ) from error


def _check_handed(job: Job) -> None:
    """Raise ``BadInput`` for a network that keeps its weights elsewhere too, in a list, and answers with those."""
    module, rows = _ready(job)
    other = {name: p.detach() + 0.1 for name, p in module.named_parameters()}
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.no_grad():
        answers = answer(module, {**other, **kept}, rows)
        for name, parameter in module.named_parameters():
            parameter.copy_(other[name])
        if not torch.allclose(answers, module(rows), rtol=1e-3, atol=1e-5, equal_nan=True):
            raise BadInput(
                f"{_named(job)} does not answer with the weights that it is handed, but with copies that it keeps: "
                "read parameters where they stand, not from lists or attributes beside them."
            )


def refuse_stateful_dropout(module: nn.Module) -> None:
    """Raise ``BadInput`` for dropout that draws from torch's global generator, which no stream can replay."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            raise BadInput(
                f"{name or 'the module'} is {part}: its masks come from a global generator; "
                "use phasescope.learners.KeyedDropout in its place."
            )
