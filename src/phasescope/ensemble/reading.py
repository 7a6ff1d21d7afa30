"""Makes the Subject that instruments look at from stacked parameters, and collects their readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from phasescope.ensemble.losses import sample_losses
from phasescope.identity import fingerprint
from phasescope.vocabulary import Array, BadInput, Draw, Grid, Instrument, Scatter, Subject

MOST_LOGITS = 2**20  # that are read in float64 at once
#: What a dataset of trained networks has besides readings.
TAKEN = ("fate", "fate_step", "last_step", "seconds", "step", "seed")


def tensors(draw: Draw, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the draw as tensors: inputs, labels, truth, weights, and boolean masks (N,): train, test, corrupted."""
    found = {
        name: torch.from_numpy(array).to(device)
        for name, array in (("inputs", draw.inputs), ("labels", draw.labels), ("truth", draw.truth))
    }
    found = {name: value.to(dtype) if value.is_floating_point() else value for name, value in found.items()}
    found["weights"] = torch.from_numpy(draw.weights).to(device, dtype)
    for name, rows in (("train", draw.train), ("test", draw.test), ("corrupted", draw.corrupted)):
        mask = torch.zeros(len(draw.inputs), dtype=torch.bool, device=device)
        mask[torch.from_numpy(rows).to(device).long()] = True
        found[name] = mask
    return found


def running(buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the buffers that training changes: the running statistics of batch normalization."""
    return {name: value for name, value in buffers.items() if name.endswith(("running_mean", "running_var"))}


def subject(
    module: nn.Module,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    data: Mapping[str, Tensor],
    loss: str,
    *,
    side_by_side: bool = True,
) -> Subject:
    """Return the Subject of B stacked networks; ``data`` as from ``tensors``, each with a leading B axis.

    What networks share among their samples is passed expanded (stride 0), and then prepared only once. Those that
    ``vmap`` can not take ``side_by_side`` are passed one after the other.
    """
    once = {name: side_by_side and value.stride(0) == 0 for name, value in data.items()}
    rows = {name: value[0] if once[name] else value for name, value in data.items()}
    over = {name: None if once[name] else 0 for name in data}

    def forward(weights: Mapping[str, Tensor], state: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        out: Tensor = functional_call(module, (dict(weights), dict(state)), (inputs,))
        return out

    def train_loss(weights: Mapping[str, Tensor], state: Mapping[str, Tensor], row: Mapping[str, Tensor]) -> Tensor:
        losses = sample_losses(forward(weights, state, row["inputs"]), row["labels"], loss)
        return mean_over(losses, row["train"], row["weights"])

    def answers(changed: Mapping[str, Tensor]) -> Tensor:
        module.eval()
        if not side_by_side:
            return torch.stack([forward(*parts) for parts in _apart(changed, buffers, rows["inputs"])])
        out: Tensor = vmap(forward, in_dims=(0, 0, over["inputs"]))(changed, buffers, rows["inputs"])
        return out

    @cache
    def logits() -> Tensor:
        with torch.no_grad():
            return answers(parameters)

    @cache
    def losses() -> Tensor:
        return read_losses(logits(), data["labels"], loss)

    @cache
    def gradients() -> Mapping[str, Tensor]:
        module.eval()
        if not side_by_side:
            each = [_gradient(train_loss, *parts) for parts in _apart(parameters, buffers, rows)]
            return {name: torch.stack([one[name] for one in each]) for name in parameters}
        out: Mapping[str, Tensor] = vmap(grad(train_loss), in_dims=(0, 0, over))(parameters, buffers, rows)
        return out

    learnt = {name for name, parameter in module.named_parameters() if parameter.requires_grad}

    def training_loss(changed: Mapping[str, Tensor]) -> Tensor:
        module.eval()
        held = {name: value if name in learnt else value.detach() for name, value in changed.items()}
        if not side_by_side:
            return torch.stack([train_loss(*parts) for parts in _apart(held, buffers, rows)])
        out: Tensor = vmap(train_loss, in_dims=(0, 0, over))(held, buffers, rows)
        return out

    return Subject(
        parameters,
        **{name: data[name] for name in ("inputs", "labels", "truth", "train", "test", "corrupted", "weights")},
        loss=loss,
        answers=answers,
        logits=logits,
        sample_losses=losses,
        gradients=gradients,
        training_loss=training_loss,
    )


def _apart(*stacks: Any) -> Iterator[list[Any]]:
    """Give what stacked networks have, one network after the other."""
    first = stacks[-1]
    for place in range(len(first if isinstance(first, Tensor) else first["inputs"])):
        yield [s[place] if isinstance(s, Tensor) else {name: v[place] for name, v in s.items()} for s in stacks]


def _gradient(loss: Callable[..., Tensor], weights: Mapping[str, Tensor], *rest: Any) -> dict[str, Tensor]:
    own = {name: value.detach().requires_grad_() for name, value in weights.items()}
    with torch.enable_grad():
        found = torch.autograd.grad(loss(own, *rest), list(own.values()), materialize_grads=True)
    return dict(zip(own, found, strict=True))


def mean_over(values: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean (...) of sample values (..., N) over ``rows`` alone."""
    # chosen, not multiplied by 0: the loss of a sample left out may be infinite
    return torch.where(rows, values * weights, 0).sum(-1) / (weights * rows).sum(-1)


def finite(seen: Subject) -> Tensor:
    """Return booleans (B,): whether a network's weights are finite, and its training loss with them."""
    # in the precision of training: a loss that leaves it has diverged, whatever it is read in
    loss = mean_over(seen.sample_losses().to(seen.weights.dtype), seen.train, seen.weights)
    weights = [torch.isfinite(value.reshape(len(value), -1)).all(1) for value in seen.parameters.values()]
    return torch.stack([torch.isfinite(loss), *weights]).all(0)


def scores(seen: Subject, spreads: Sequence[tuple[float, float] | None]) -> tuple[Array, Array]:
    """Return the training and test scores (B,) of B networks: what ``Watcher`` follows, whatever else is read.

    ``spreads`` are the variances of each one's real targets, on training and on test rows; None for class labels.
    """
    found, weights = [], seen.weights.double()
    if spreads[0] is None:
        largest, answers = seen.logits().max(-1)
        right = (answers == seen.labels).double().masked_fill(~largest.isfinite(), torch.nan)
    for at, rows in enumerate((seen.train, seen.test)):
        if spreads[0] is None:
            score = mean_over(right, rows, weights)
        else:
            variance = torch.tensor(
                [pair[at] if pair else 0.0 for pair in spreads], dtype=torch.float64, device=weights.device
            )
            score = 1 - mean_over(seen.sample_losses().double(), rows, weights) / variance.masked_fill(
                variance <= 0, torch.nan
            )
        found.append(score.cpu().numpy())
    return found[0], found[1]


def read(watch: Sequence[Instrument], seen: Subject) -> dict[str, Array]:
    """Return the readings name -> (B, ...) numpy arrays; what is not valid is NaN."""
    found: dict[str, Array] = {}
    tensors_of = [*seen.parameters.values(), seen.inputs, seen.labels, seen.weights]
    before = [value._version for value in tensors_of]
    for instrument in watch:
        try:
            reading = instrument(seen)
        except Exception as error:
            error.add_note(f"raised by the instrument {instrument.name!r}")
            raise
        if [value._version for value in tensors_of] != before:
            raise BadInput(f"the instrument {instrument.name!r} changes what it looks at: let it work on a copy.")
        value = reading.value
        if reading.valid is not None:
            value = value.masked_fill(~reading.valid, torch.nan)
        found[instrument.name] = value.detach().cpu().numpy()
        if reading.error is not None:
            found[f"{instrument.name}_error"] = reading.error.detach().cpu().numpy()
    return found


def check_names(read: Sequence[Instrument], names: Sequence[Sequence[str]], grid: Grid | Scatter) -> None:
    """Raise ``BadInput`` where a reading would take the place of something else in the dataset."""
    axes = {*map(str, grid.dims), *map(str, grid.coords)}
    for name in sorted(axes & {"fate", "fate_step", "last_step", "seconds"}):
        raise BadInput(f"a grid axis is called {name!r}, which the dataset has already: choose another name.")
    for instrument in read:
        if instrument.name in {*TAKEN, *axes} or instrument.name.split(".")[0] in ("end", "final", "shape"):
            raise BadInput(
                f"an instrument is called {instrument.name!r}, which the dataset has already: choose another name."
            )
        for dim in instrument.dims:
            if dim in {*TAKEN, *axes}:
                raise BadInput(
                    f"the instrument {instrument.name!r} reads along {dim!r}, which the dataset has already."
                )
    for several in names:
        twice = [name for name in several if several.count(name) > 1]
        if twice:
            raise BadInput(f"two instruments are called {twice[0]!r}: give each a name of its own.")
    for a, b in combinations(read, 2):  # what is watched is not read at the end once more, so it must be the same
        if a.name == b.name and fingerprint(a) != fingerprint(b):
            raise BadInput(
                f"two instruments are called {a.name!r}, one watched and one read at the end: give each its own name."
            )
