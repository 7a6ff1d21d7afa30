"""The places of a module as clouds of points: the right rows, the module given back, whatever is run at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import phasescope as ps
from phasescope.inspection.load import load_batch
from phasescope.representation.places import layers_of
from phasescope.vocabulary import BadInput


class Tokens(nn.Module):
    """A stack of residual blocks over tokens: what each block gives is known."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 6)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        self.calls += 1
        h = self.embed(input_ids)
        for block in self.blocks:
            h = block(h)
        return h

    def states(self, ids: Tensor) -> list[Tensor]:
        h = self.embed(ids).detach()
        found = [h]
        for block in self.blocks:
            found.append(block(found[-1]).detach())
        return found


IDS = torch.from_numpy(np.random.default_rng(0).integers(0, 20, (5, 4)))
MASK = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
KEPT = MASK.bool() & ~torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]).bool()


@pytest.mark.parametrize("at_once", [None, 1, 2])
def test_tokens_without_the_first_and_padding(at_once: int | None) -> None:
    model = Tokens()
    truth = model.states(IDS)
    options: Any = {"at_once": at_once}
    plain = dict(layers_of(model, IDS, by="token", **options))
    assert list(plain) == ["input", "blocks.0", "blocks.1", "blocks.2"]
    for rows, state in zip(plain.values(), truth, strict=True):
        assert np.allclose(rows, state[:, 1:].flatten(0, 1).numpy(), atol=1e-6)
    masked = dict(layers_of(model, {"input_ids": IDS, "attention_mask": MASK}, by="token", **options))
    for rows, state in zip(masked.values(), truth, strict=True):
        assert np.allclose(rows, state[KEPT].numpy(), atol=1e-6)
    some = dict(layers_of(model, {"input_ids": IDS, "attention_mask": MASK}, by="token", most=4, **options))
    for rows, state in zip(some.values(), truth, strict=True):
        assert np.allclose(rows, state[KEPT].numpy()[[0, 2, 5, 8]], atol=1e-6)
    means = dict(layers_of(model, {"input_ids": IDS, "attention_mask": MASK}, **options))
    for rows, state in zip(means.values(), truth, strict=True):
        expected = np.stack([state[i][KEPT[i]].numpy().mean(0) for i in range(5)])
        assert np.allclose(rows, expected, atol=1e-6)


def test_images_by_sample_and_by_position() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(*(part for _ in range(3) for part in (nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))))
    images = torch.randn(6, 3, 4, 5)
    model.train()  # normalized by the batch: then all samples are run together
    before = {name: value.clone() for name, value in model.state_dict().items()}
    means, positions = (dict(layers_of(model, images, by=by)) for by in ("sample", "token"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and model.training
    first = model[0](images).detach()
    assert np.allclose(means["0"], first.mean((2, 3)).numpy(), atol=1e-6)
    assert np.allclose(positions["0"], first.permute(0, 2, 3, 1).reshape(-1, 3).numpy(), atol=1e-6)
    assert all(rows.shape == (6 * 20, 3) for rows in positions.values())


def test_the_model_is_given_back_and_half_precision_stays() -> None:
    model = Tokens().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    list(layers_of(model, IDS))
    assert model.training and not any(part._forward_hooks for part in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    half = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))).half()
    found = dict(layers_of(half, torch.randn(7, 4).half()))
    assert all(rows.dtype == np.float16 and rows.shape == (7, 4) for rows in found.values())


class Turned(nn.Module):
    """Puts the samples on the second axis, as some recurrent networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = x.transpose(0, 1)
        for block in self.blocks:
            h = block(h).tanh()
        return h


def test_refusals_name_the_mend() -> None:
    model = Tokens()
    with pytest.raises(BadInput, match=r"by is 'tokens': choose one of sample, token"):
        layers_of(model, IDS, by="tokens")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="give longer sequences"):
        layers_of(model, {"input_ids": IDS[:, :2], "attention_mask": MASK[:, 2:] * 0}, by="token")
    with pytest.raises(BadInput, match=r"name them with places=\.\.\."):
        layers_of(nn.Bilinear(2, 2, 2), (torch.ones(3, 2), torch.ones(3, 2)))
    with pytest.raises(BadInput, match="first axis is that of the samples"):
        layers_of(Turned(), torch.ones(3, 5, 4))
    assert dict(layers_of(model, IDS, places=["blocks.1"]))["blocks.1"].shape == (5, 6)


def test_batches_that_are_none_are_named_and_hidden_samples_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    for batch, said in (("inputs.npy", "'inputs.npy'"), ([[1.0] * 4] * 3, r"\[\["), (None, "None")):
        with pytest.raises(BadInput, match=f"the batch is {said}"):
            layers_of(module, batch, places=["0", "2"])
    mask = torch.ones(3, 5, dtype=torch.int64)
    mask[1] = 0
    with pytest.raises(BadInput, match="hides all tokens of sample 1"):
        layers_of(
            Masked(), {"ids": torch.ones(3, 5, dtype=torch.int64), "attention_mask": mask}, places=["embed", "out"]
        )


class Masked(nn.Module):
    """Reads tokens, and takes a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(11, 4), nn.Linear(4, 3)

    def forward(self, ids: Any, attention_mask: Any) -> Any:
        """Return (B, T, 3)."""
        return self.out(self.embed(ids))


@pytest.mark.parametrize("held", [np.ones((4, 3)) + 1j, np.array([["a", "b"]]), np.zeros(4, dtype="f4,i4")])
def test_a_file_without_real_numbers_is_no_batch(held: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "batch.npy", held)
    with pytest.raises(BadInput, match=r"^[^\n]*batch.npy holds .*, not real numbers: save[^\n]*[^.]\.$"):
        load_batch(tmp_path / "batch.npy", nn.Linear(3, 2), "m:f")


@pytest.mark.parametrize("places", [[], "0", ()])
def test_places_that_name_none_are_refused(places: Any) -> None:
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    for read in (lambda: layers_of(module, torch.ones(30, 4), places=places),
                 lambda: ps.local_rank(module, torch.ones(30, 4), places=places)):  # fmt: skip
        with pytest.raises(BadInput, match=r"^places is .*: give a list of names of modules"):
            read()


def test_names_do_not_steer_a_terminal() -> None:
    """A module's name may hold an escape or a new line: tables stay tables, and sentences one line."""
    module = nn.Sequential()
    for name in ("a\x1b[31m", "b\nc", "d\u202e"):
        module.add_module(name, nn.Linear(4, 4))
    batch = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    names = list(dict(module.named_children()))
    found = ps.profile(module, batch, places=names)
    assert found.data.place.values.tolist() == ["input", *names]  # the names themselves are the module's
    alike = ps.compare(module, module, batch, places=names, measures=["cka"], draws=2)
    for told in (str(found), str(alike)):
        assert not set(told) & {"\x1b", "\u202e"} and "b c" in told and "a\\x1b[31m" in told
    with pytest.raises(BadInput) as refused:
        ps.profile(module, torch.ones(30, 4) * math.nan, places=["e\n\x1b"])
    assert str(refused.value).isprintable()
