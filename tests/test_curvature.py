"""Sharpness against the dense Hessian of a loss written out, against matrices of known spectra, and against descent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import phasescope as ps
from laws import instrument_laws as laws
from phasescope.ensemble.reading import subject, tensors
from phasescope.instruments import curvature
from phasescope.instruments.curvature import largest_eigenvalue, sharpness
from phasescope.learners import PowerMLP
from phasescope.vocabulary import Grid, Recipe

CPU = torch.device("cpu")


def top_of_dense(module: nn.Module, names: list[str], weights: dict[str, Tensor], loss: Any) -> float:
    """The largest eigenvalue of the whole Hessian by the weights ``names``, by double differentiation and LAPACK."""
    sizes = [weights[name].numel() for name in names]

    def of(flat: Tensor) -> Tensor:
        own = {name: part.view_as(weights[name]) for name, part in zip(names, flat.split(sizes), strict=True)}
        out: Tensor = loss(lambda x: functional_call(module, {**weights, **own}, (x,)))
        return out

    flat = torch.cat([weights[name].flatten() for name in names])
    return float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(of, flat))[-1])


@pytest.mark.parametrize("case", laws.CASES, ids=["mse", "cross-entropy", "large weights"])
def test_sharpness_is_that_of_the_dense_hessian(case: laws.Case) -> None:
    """126 weights; the loss is written out once more, from one-hot targets and logarithms."""
    found = sharpness(case.subject())
    assert found.valid is not None and found.valid.all()
    module = PowerMLP(laws.P, laws.H).double()
    for b in range(laws.B):
        rows = case.data["train"][b]
        x, y, w = (case.data[name][b][rows] for name in ("inputs", "labels", "weights"))
        hot = torch.eye(laws.P, dtype=torch.float64)[y.long()]

        def loss(answer: Any, x: Tensor = x, w: Tensor = w, hot: Tensor = hot) -> Tensor:
            z = answer(x)
            entropy = z.exp().sum(1).log() - (z * hot).sum(1)
            return (w * ((z - hot).square().mean(1) if case.loss == "mse" else entropy)).sum() / w.sum()

        weights = {name: value[b] for name, value in case.parameters.items()}
        exact = top_of_dense(module, list(weights), weights, loss)
        assert found.value[b].item() == pytest.approx(exact, rel=1e-11)


def reading(eigenvalues: Any, tolerance: float = 1e-8) -> Any:
    values = torch.as_tensor(eigenvalues, dtype=torch.float64)
    turn = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(len(values),) * 2)))[0]
    matrix = turn @ values.diag() @ turn.T
    return largest_eigenvalue(lambda v: v @ matrix, 1, len(values), tolerance, CPU)


@pytest.mark.parametrize(
    "eigenvalues",
    [[3.0], [-3.0], [-3.0, 2.0], [0.0] * 10, -np.arange(1.0, 21), [5.0] * 7 + [1.0] * 20, np.linspace(0, 1, 300),
     np.append(np.linspace(-1000, -900, 50), np.linspace(0, 1, 40))],
    ids=["one", "one below 0", "two", "zero", "all below 0", "sevenfold", "dense", "far below"],
)  # fmt: skip
def test_the_largest_eigenvalue_is_the_largest_not_the_farthest(eigenvalues: Any) -> None:
    found = reading(eigenvalues)
    assert found.valid.all()
    assert found.value.item() == pytest.approx(np.max(eigenvalues), abs=1e-10)


def test_what_does_not_converge_has_no_sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reading(np.linspace(0, 1, 300)).valid.all()
    monkeypatch.setattr(curvature, "MOST_PRODUCTS", 20)
    found = reading(np.linspace(0, 1, 300))
    assert not found.valid.any() and found.value.isnan().all()


def test_a_network_that_is_not_finite_has_none_and_spoils_no_other() -> None:
    case = laws.CASES[0]
    broken = case.with_parameters(lambda _, v: v.index_fill(0, torch.tensor([1]), torch.nan))
    found, whole = (laws.value_of(sharpness, chosen) for chosen in (broken, case))
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.delete(found, 1) == pytest.approx(np.delete(whole, 1), rel=1e-12)


class Rows(nn.Module):
    """Two linear layers, the first of which does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.first.requires_grad_(False)
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return answers (N, 1)."""
        out: Tensor = self.out(self.first(x))
        return out


@pytest.mark.parametrize("engine", ["looped", "stacked"])
def test_weights_that_do_not_learn_are_no_direction(engine: Any) -> None:
    """The squared error of a linear readout has the Hessian 2 <h h^T>, h with a 1 for the bias: known without a loss."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    task = ps.tasks.Table("rows", x, x[:, :1], 1, train_fraction=0.999)
    recipe = Recipe(optimizer="sgd", lr=0.01, steps=4, records=2, dtype="float64")
    data = ps.train(Rows(), task, Grid(seeds=3), recipe, (sharpness,), engine=engine)
    for seed in range(3):
        own = ps.final(data, seed=seed)
        rows = task.draw(ps.Member({}, seed), ps.streams(seed)).train
        h = np.c_[x[rows] @ own["first.weight"].T + own["first.bias"], np.ones(len(rows))]
        exact = np.linalg.eigvalsh(2 * h.T @ h / len(rows))[-1]
        assert data.sharpness.sel(seed=seed).values == pytest.approx(exact, rel=1e-12)


def test_gradient_descent_is_stable_below_two_over_the_rate() -> None:
    """The loss of a linear network falls at .95 of 2 / sharpness, and grows without end at 1.05 of it."""
    x = np.random.default_rng(1).normal(size=(40, 3))
    task = ps.tasks.Table("rows", x, x @ [[1.0], [2.0], [3.0]], 1, train_fraction=0.9)
    watch = (sharpness, ps.instruments.logits.train_loss)

    def trained(lr: float, steps: int) -> Any:
        recipe = Recipe(optimizer="sgd", lr=lr, steps=steps, records=2, dtype="float64")
        return ps.train(nn.Linear(3, 1), task, Grid(), recipe, watch).isel(seed=0)

    edge = 2 / float(trained(1e-3, 1).sharpness[0])
    for share, grows in ((0.95, False), (1.05, True)):
        loss = trained(share * edge, 200).train_loss.values
        assert (loss[-1] > 1e6 * loss[0]) == grows and (loss[-1] < 1e-6 * loss[0]) != grows


class Attention(nn.Module):
    """Attention over embedded residues: by torch's module, fast or by its formula, by the fast kernel, or written out."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.embed, self.out = nn.Embedding(5, 4), nn.Linear(4, 5)
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 5)."""
        h = self.embed(x)
        if self.kind.startswith("module"):
            h = self.heads(h, h, h, need_weights=self.kind.endswith("formula"))[0]
        elif self.kind == "kernel":
            h = nn.functional.scaled_dot_product_attention(h, h, h, is_causal=True)
        else:
            scores = (h @ h.mT / 2).masked_fill(~torch.ones(2, 2, dtype=torch.bool).tril(), -torch.inf)
            h = scores.softmax(-1) @ h
        out: Tensor = self.out(h.sum(1))
        return out


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize(("kind", "slow"), [("module", "module by its formula"), ("kernel", "written out")])
def test_attention_has_second_derivatives(kind: str, slow: str) -> None:
    """torch's fast kernels have none; what they compute has the Hessian of the same network without them."""
    module, g = Attention(kind).double(), ps.streams(3)("weights")
    weights = {n: torch.from_numpy(g.normal(size=p.shape) / 2) for n, p in module.named_parameters()}
    data = tensors(ps.tasks.addition(5, train_fraction=0.8).draw(ps.Member({}, 0), ps.streams(0)), CPU, torch.float64)
    one, rows = ({name: value[None] for name, value in part.items()} for part in (weights, data))
    found = sharpness(subject(module, one, {}, rows, "cross_entropy"))
    x, y = data["inputs"][data["train"]], data["labels"][data["train"]].long()
    names = [name for name in weights if kind == "module" or not name.startswith("heads")]

    def loss(answer: Any) -> Tensor:
        return nn.functional.cross_entropy(answer(x), y)

    exact = top_of_dense(Attention(slow).double(), names, weights, loss)
    assert found.value.item() == pytest.approx(exact, rel=1e-10)


def test_plain_attention_is_attention() -> None:
    """Causal, masked by truth values and by numbers, scaled, and with fewer heads of keys."""
    g = np.random.default_rng(0)
    q, k, v = (torch.from_numpy(g.normal(size=(2, 4, 3, 5))) for _ in range(3))
    truth, numbers = torch.tensor(g.random((3, 3)) < 0.5).fill_diagonal_(True), torch.from_numpy(g.normal(size=(3, 3)))
    for given in ({}, {"is_causal": True}, {"attn_mask": truth}, {"attn_mask": numbers}, {"scale": 0.3}):
        expected = nn.functional.scaled_dot_product_attention(q, k, v, **given)  # type: ignore[arg-type]
        torch.testing.assert_close(curvature._attention(q, k, v, **given), expected)  # type: ignore[arg-type]
    few = (q, k[:, :2], v[:, :2])
    expected = nn.functional.scaled_dot_product_attention(*few, enable_gqa=True)
    torch.testing.assert_close(curvature._attention(*few, enable_gqa=True), expected)
