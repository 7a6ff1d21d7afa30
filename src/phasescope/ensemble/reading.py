"""Makes the Subject that instruments look at from stacked parameters, and collects their readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from phasescope.ensemble.losses import sample_losses, weighted_mean
from phasescope.vocabulary import Array, Draw, Instrument, Subject


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
) -> Subject:
    """Return the Subject of B stacked networks; ``data`` as from ``tensors``, each with a leading B axis.

    Networks that are read on the same samples pass them expanded (stride 0): the samples are then prepared only once.
    """
    shared = all(value.stride(0) == 0 for value in data.values())
    rows = {name: value[0] for name, value in data.items()} if shared else data
    over = (0, 0, None if shared else 0)

    def forward(weights: Mapping[str, Tensor], state: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        out: Tensor = functional_call(module, (dict(weights), dict(state)), (inputs,))
        return out

    def train_loss(weights: Mapping[str, Tensor], state: Mapping[str, Tensor], row: Mapping[str, Tensor]) -> Tensor:
        losses = sample_losses(forward(weights, state, row["inputs"]), row["labels"], loss)
        return weighted_mean(losses, row["weights"] * row["train"])

    def answers(changed: Mapping[str, Tensor]) -> Tensor:
        module.eval()
        with torch.no_grad():
            out: Tensor = vmap(forward, in_dims=over)(changed, buffers, rows["inputs"])
        return out

    @cache
    def logits() -> Tensor:
        return answers(parameters)

    @cache
    def losses() -> Tensor:
        out: Tensor = vmap(lambda o, y: sample_losses(o, y, loss))(logits(), data["labels"])
        return out

    @cache
    def gradients() -> Mapping[str, Tensor]:
        module.eval()
        out: Mapping[str, Tensor] = vmap(grad(train_loss), in_dims=over)(parameters, buffers, rows)
        return out

    return Subject(
        parameters,
        **{name: data[name] for name in ("inputs", "labels", "truth", "train", "test", "corrupted", "weights")},
        loss=loss,
        answers=answers,
        logits=logits,
        sample_losses=losses,
        gradients=gradients,
    )


def read(watch: Sequence[Instrument], seen: Subject) -> dict[str, Array]:
    """Return the readings name -> (B, ...) numpy arrays; what is not valid is NaN."""
    found: dict[str, Array] = {}
    for instrument in watch:
        reading = instrument(seen)
        value = reading.value
        if reading.valid is not None:
            value = value.masked_fill(~reading.valid, torch.nan)
        found[instrument.name] = value.detach().cpu().numpy()
        if reading.error is not None:
            found[f"{instrument.name}_error"] = reading.error.detach().cpu().numpy()
    return found
