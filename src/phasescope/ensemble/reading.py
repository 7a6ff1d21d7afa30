"""Makes the Subject that instruments look at from stacked parameters, and collects their readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from phasescope.ensemble.handed import answer
from phasescope.ensemble.losses import Loss, has_positions
from phasescope.identity import fingerprint
from phasescope.samples import IGNORED
from phasescope.vocabulary import Array, BadInput, Draw, Grid, Instrument, Scatter, Subject

MOST_LOGITS = 2**20  # that are read in float64 at once
#: What a dataset of trained networks has besides readings.
TAKEN = ("fate", "fate_step", "last_step", "seconds", "step", "seed", "kept")
BEFORE_A_DOT = ("end", "final", "shape", "kept", "average")
PER_SAMPLE = ("labels", "truth", "train", "test", "corrupted", "weights")


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
    loss: Loss | str,
    *,
    side_by_side: bool = True,
) -> Subject:
    """Return the Subject of B stacked networks; ``data`` as from ``tensors``, each with a leading B axis.

    Where labels (B, N, T) have positions, each position is a sample of its own in logits, labels, losses and masks;
    those that do not count belong to no set. What networks share among their samples is passed expanded (stride 0), and
    then prepared only once. Those that ``vmap`` can not take ``side_by_side`` are passed one after the other.
    """
    loss = Loss(loss) if isinstance(loss, str) else loss
    once = {name: side_by_side and value.stride(0) == 0 for name, value in data.items()}
    rows = {name: value[0] if once[name] else value for name, value in data.items()}
    over = {name: None if once[name] else 0 for name in data}

    def forward(*parts: Any) -> Tensor:
        return _answer(module, *parts)

    def train_loss(weights: Mapping[str, Tensor], state: Mapping[str, Tensor], row: Mapping[str, Tensor]) -> Tensor:
        losses = loss.each(forward(weights, state, row["inputs"]), row["labels"])
        flat = _told({name: row[name][None] for name in PER_SAMPLE})
        return mean_over(losses.flatten(), flat["train"][0], flat["weights"][0])

    def each(function: Callable[..., Tensor], own: Mapping[str, Tensor], given: Any, dims: Any) -> Tensor:
        module.eval()
        if not side_by_side:
            return torch.stack([function(*parts) for parts in _apart(own, buffers, given)])
        out: Tensor = vmap(function, in_dims=(0, 0, dims))(own, buffers, given)
        return out

    def answers(changed: Mapping[str, Tensor]) -> Tensor:
        return each(forward, changed, rows["inputs"], over["inputs"])

    @cache
    def whole() -> Tensor:
        with torch.no_grad():
            return answers(parameters)

    @cache
    def losses() -> Tensor:
        with torch.no_grad():
            return read_losses(whole(), data["labels"], loss)

    @cache
    def gradients() -> Mapping[str, Tensor]:
        module.eval()
        if not side_by_side:
            found = [_gradient(train_loss, *parts) for parts in _apart(parameters, buffers, rows)]
            return {name: torch.stack([one[name] for one in found]) for name in parameters}
        out: Mapping[str, Tensor] = vmap(grad(train_loss), in_dims=(0, 0, over))(parameters, buffers, rows)
        return out

    learnt = {name for name, parameter in module.named_parameters() if parameter.requires_grad}

    def training_loss(changed: Mapping[str, Tensor]) -> Tensor:
        held = {name: value if name in learnt else value.detach() for name, value in changed.items()}
        return each(train_loss, held, rows, over)

    ends = (1, 2) if has_positions(data["labels"][0]) else (0, 0)
    return Subject(
        parameters,
        data["inputs"],
        **_told(data),
        loss=loss.name,
        answers=lambda changed: answers(changed).flatten(*ends),
        logits=lambda: whole().flatten(*ends),
        sample_losses=losses,
        gradients=gradients,
        training_loss=training_loss,
    )


def _answer(module: nn.Module, weights: Mapping[str, Tensor], state: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    out: Tensor = answer(module, {**weights, **state}, inputs)
    return out


def read_losses(outputs: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Return the loss of each sample (B, N), or position (B, N * T), as it is read: as trained, but to all its digits.

    Cross-entropy is log(1 + sum of exp(z_k - z_label) over the other classes) in float64. Softmax in float32 gives 0
    where that sum is below 2^-24, from margins of about 17 on; this form keeps its digits up to margins of 700.
    """
    if loss.kind != "cross_entropy" or loss.smoothing:
        return _losses(loss, outputs, labels).flatten(1)
    logits, labels = outputs.flatten(1, -2), labels.flatten(1).long()
    own = labels.masked_fill(labels == IGNORED, 0)[..., None]
    few = max(MOST_LOGITS // max(logits[0].numel(), 1), 1)
    parts = zip(torch.split(logits, few), torch.split(own, few), strict=True)
    return torch.cat([_cross_entropies(*part) for part in parts]).masked_fill(labels == IGNORED, 0)


def _cross_entropies(logits: Tensor, own: Tensor) -> Tensor:
    logits = logits.double()
    others = (logits - logits.gather(-1, own)).scatter(-1, own, -torch.inf).logsumexp(-1)
    # an infinite logit has no softmax, also where it is the label's
    return torch.logaddexp(others, torch.zeros_like(others)).masked_fill((logits == torch.inf).any(-1), torch.nan)


def _losses(loss: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the losses (B, N), or (B, N, T), of B networks; by one's own, which may be anything in torch, in turn."""
    if callable(loss.kind):
        return torch.stack([loss.each(*pair) for pair in zip(outputs, labels, strict=True)])
    found: Tensor = vmap(loss.each)(outputs, labels)
    return found


def _told(data: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return labels, truth, masks and weights, each position of labels (B, N, T) being a sample: (B, N * T)."""
    if not has_positions(data["labels"][0]):
        return {name: data[name] for name in PER_SAMPLE}
    counted = data["labels"] != IGNORED
    found = {name: data[name].masked_fill(~counted, 0).flatten(1) for name in ("labels", "truth")}
    found |= {name: (data[name][:, :, None] & counted).flatten(1) for name in ("train", "test", "corrupted")}
    return found | {"weights": data["weights"][:, :, None].expand(counted.shape).flatten(1)}


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
            score = 1 - mean_over(_distances(seen).double(), rows, weights) / variance.masked_fill(
                variance <= 0, torch.nan
            )
        found.append(score.cpu().numpy())
    return found[0], found[1]


def _distances(seen: Subject) -> Tensor:
    """Return the squared distance (B, N) of answers and real targets, NaN where a loss takes answers of other width."""
    if seen.loss == "mse":
        return seen.sample_losses()
    if seen.logits().shape != seen.labels.shape:
        return torch.full(seen.train.shape, torch.nan, device=seen.train.device)
    return (seen.logits() - seen.labels).square().mean(-1)


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
    for name in sorted(axes & {"fate", "fate_step", "last_step", "seconds", "kept"}):
        raise BadInput(f"a grid axis is called {name!r}, which the dataset has already: choose another name.")
    for instrument in read:
        if instrument.name in {*TAKEN, *axes} or instrument.name.split(".")[0] in BEFORE_A_DOT:
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
