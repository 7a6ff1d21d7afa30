"""Learners: the forward pass as a literal double loop, the compiled step as autograd, keyed dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch.func import functional_call, vmap

from phasescope.ensemble import streams, train
from phasescope.ensemble.losses import sample_losses
from phasescope.ensemble.streams import batch_order, dropout_keys, initialized
from phasescope.learners import ExactMLP, KeyedDropout, PowerMLP
from phasescope.learners.dropout import uniform
from phasescope.learners.power import ACTIVATIONS
from phasescope.tasks import Table, addition
from phasescope.theory import modular_addition
from phasescope.vocabulary import BadInput, Grid, Recipe

LITERAL = {
    "quadratic": lambda z: z**2,
    "cubic": lambda z: z**3,
    "quartic": lambda z: z**4,
    "quintic": lambda z: z**5,
    "relu": lambda z: max(z, 0.0),
    "gelu": lambda z: z * norm.cdf(z),
}


def splitmix(key: int, count: int) -> np.ndarray[Any, Any]:
    """Uniforms of a counter-based splitmix64 in numpy's own unsigned arithmetic (Steele et al. 2014, Fig. 15-16)."""
    with np.errstate(over="ignore"):
        v = np.uint64(key % 2**64) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        v = (v ^ (v >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        v = (v ^ (v >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((v ^ (v >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) * 2.0**-24


def double_loop(module: PowerMLP, inputs: Any, mask: Any = None) -> Any:
    """f_q(n) = scale * sum_k W_qk phi(mask_k sum_s U_s[n_s, k]): every index written out."""
    embed, readout = (value.detach().numpy() for value in (module.embed, module.readout))
    out = np.zeros((len(inputs), len(readout)))
    for i, row in enumerate(inputs):
        for q in range(len(readout)):
            for k in range(readout.shape[1]):
                z = sum(embed[s, n, k] for s, n in enumerate(row))
                z = z if mask is None else z * mask[i, k]
                out[i, q] += readout[q, k] * LITERAL[module.activation](z)
    return module.scale * out


def learner(**changes: Any) -> PowerMLP:
    kind: dict[str, Any] = {"arity": 2, "outputs": None, **changes}
    module = PowerMLP(5, 6, **kind).double()
    module.initialize(np.random.default_rng(0))
    return module


# -- forward --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("parametrization", ["plain", "mean-field"])
def test_forward_is_the_double_loop(activation: str, parametrization: str) -> None:
    module = learner(activation=activation, parametrization=parametrization)
    table = addition(5).inputs
    found = module(torch.from_numpy(table)).detach().numpy()
    assert np.allclose(found, double_loop(module, table), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("arity", "outputs"), [(1, 5), (3, 5), (2, 3)])
def test_forward_of_other_shapes(arity: int, outputs: int) -> None:
    module = learner(arity=arity, outputs=outputs)
    table = addition(5, arity=arity).inputs
    assert module.embed.shape == (arity, 5, 6)
    assert module.readout.shape == (outputs, 6)
    found = module(torch.from_numpy(table)).detach().numpy()
    assert np.allclose(found, double_loop(module, table), rtol=1e-12, atol=1e-14)


def test_forward_with_dropout_masks_before_the_activation() -> None:
    module = learner(dropout=0.4).train()
    module.drop.key.fill_(77)
    table = addition(5).inputs
    mask = (splitmix(77, 25 * 6) >= 0.4).reshape(25, 6) / 0.6
    assert 0 < (mask == 0).mean() < 1
    assert np.allclose(module(torch.from_numpy(table)).detach(), double_loop(module, table, mask), rtol=1e-12)
    assert np.allclose(module.eval()(torch.from_numpy(table)).detach(), double_loop(module, table), rtol=1e-12)


def test_batch_norm_stands_after_the_activation() -> None:
    """W BN(phi(.)), Doshi et al. 2023, Eq. 5: mean 0 and variance 1 of each activation over the batch."""
    module = learner(batch_norm=True).train()
    table = torch.from_numpy(addition(5).inputs)
    z = module.embed[0][table[:, 0].long()] + module.embed[1][table[:, 1].long()]
    hidden = (z * z).detach().numpy()
    normal = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
    assert np.allclose(module(table).detach(), normal @ module.readout.detach().numpy().T, rtol=1e-10, atol=1e-12)


# -- parametrizations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parametrization", "scale", "deviation"),
    # Gromov 2023, Eq. 4: 1/(D N) with D = 2p and N(0, 1); Doshi et al. 2023, App. A: 1 and (16 N)^(-1/3)
    [("mean-field", 1 / (2 * 23 * 500), 1.0), ("plain", 1.0, (16 * 500) ** (-1 / 3))],
)
def test_scale_and_initial_deviation(parametrization: Any, scale: float, deviation: float) -> None:
    module = initialized(PowerMLP(23, 500, parametrization=parametrization), 0)
    assert module.scale == pytest.approx(scale, rel=1e-12)
    for weight in (module.embed, module.readout):
        values = weight.detach().double().numpy().ravel() / deviation
        assert abs(values.mean()) < 4 / math.sqrt(len(values))
        assert abs(values.std() - 1) < 4 / math.sqrt(2 * len(values))


def test_exact_weights_are_written_as_given() -> None:
    module = initialized(ExactMLP(7, 12, modular_addition.addition_weights).double(), 4)
    embed, readout = modular_addition.addition_weights(7, 12, streams(4)("init"))
    assert np.allclose(module.embed.detach(), embed, atol=1e-12)
    assert np.allclose(module.readout.detach(), readout, atol=1e-12)


# -- the compiled step ----------------------------------------------------------------------------------------------------


def literal_step(module: PowerMLP, inputs: Any, labels: Any, key: int, rate: float, loss: str) -> dict[str, Any]:
    """Gradients by autograd through a forward pass of its own: gathered rows, numpy's mask, torch's losses."""
    module = module.train()
    rows = torch.from_numpy(inputs).long()
    z = sum(module.embed[s][rows[:, s]] for s in range(module.arity))
    if rate:
        z = z * torch.from_numpy((splitmix(key, z.numel()) >= rate).reshape(z.shape) / (1 - rate))
    hidden = torch.nn.functional.gelu(z) if module.activation == "gelu" else ACTIVATIONS[module.activation][2](z)
    hidden = module.norm(hidden) if module.norm is not None else hidden
    logits = module.scale * hidden @ module.readout.T
    target = torch.from_numpy(labels).long()
    if loss == "mse":
        total = torch.nn.functional.mse_loss(logits, torch.eye(logits.shape[1]).double()[target])
    else:
        total = torch.nn.functional.cross_entropy(logits, target)
    total.backward()
    return {name: value.grad.numpy() for name, value in module.named_parameters()}


STEPS: list[dict[str, Any]] = [
    *[{"activation": name} for name in ACTIVATIONS],
    {"loss": "cross_entropy", "activation": "gelu"},
    {"loss": "cross_entropy", "activation": "quadratic"},
    {"dropout": 0.3},
    {"batch_norm": True, "activation": "relu"},
    {"batch_norm": True, "dropout": 0.25, "loss": "cross_entropy"},
    {"arity": 3, "parametrization": "mean-field", "batch": 40},
    {"arity": 1, "batch": 3},
]


@pytest.mark.parametrize("engine", ["fused", "stacked"])
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_one_step_is_the_gradient(step: dict[str, Any], engine: Any) -> None:
    """One step of plain descent at rate 1 moves the weights by minus the gradient, whoever computes it."""
    step = dict(step)
    loss, batch, arity = step.pop("loss", "mse"), step.pop("batch", None), step.get("arity", 2)
    module, task = PowerMLP(5, 6, **step), addition(5, arity=arity, train_fraction=0.8)
    recipe = Recipe(optimizer="sgd", lr=1.0, steps=1, records=2, loss=loss, batch=batch, dtype="float64")
    found = train(module, task, Grid(seeds=[3]), recipe, engine=engine, device="cpu", workers=1)
    fresh = initialized(module, 3).double()
    split = task.draw(next(iter(Grid(seeds=[3]))), streams(3))
    rows = split.train if batch is None else batch_order(3, split.train, batch, 1, 1)[0]
    key = int(dropout_keys(3, 1, 1)[0])
    gradients = literal_step(fresh, task.inputs[rows], task.labels[rows], key, step.get("dropout", 0.0), loss)
    for name, value in fresh.named_parameters():
        moved = value.detach().numpy() - found[f"final.{name}"].values[0]
        assert np.allclose(moved, gradients[name], rtol=0, atol=1e-13 * max(1, np.abs(gradients[name]).max())), name
        assert np.abs(gradients[name]).max() > 0


def test_sample_losses_know_float_targets() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.0, 4.0]])
    assert sample_losses(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "mse").tolist() == [2.0, 8.0]
    assert sample_losses(logits, torch.tensor([1, 0]), "mse").tolist() == [1.0, 8.5]


# -- keyed dropout --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(key=st.integers(-(2**63), 2**63 - 1), count=st.integers(1, 200))
def test_uniforms_are_splitmix(key: int, count: int) -> None:
    """Bit for bit the unsigned arithmetic of numpy, for every signed key."""
    found = uniform(torch.tensor(key), (count,))
    assert found.dtype == torch.float32
    assert (found.numpy().astype(np.float64) == splitmix(key, count)).all()


def law_dropout_rate(make: Any) -> None:
    """A share ``rate`` is dropped and the mean is kept: 4.5 standard errors over 10^5 units, in every column."""
    for rate in (0.1, 0.5, 0.9):
        module = make(rate).train()
        module.key.fill_(5)
        kept = module(torch.ones(2000, 50, dtype=torch.float64))
        assert set(kept.unique().tolist()) <= {0.0, 1 / (1 - rate)}
        error = math.sqrt(rate * (1 - rate) / kept.numel())
        assert abs(float((kept == 0).double().mean()) - rate) < 4.5 * error
        assert float(((kept == 0).double().mean(0) - rate).abs().max()) < 4.5 * error * math.sqrt(50)


def test_dropout_rate() -> None:
    law_dropout_rate(KeyedDropout)


def test_dropout_is_off_in_evaluation_and_at_rate_zero() -> None:
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(KeyedDropout(0.5).eval()(values), values)
    assert torch.equal(KeyedDropout(0.0).train()(values), values)


def test_dropout_is_the_same_alone_and_stacked() -> None:
    """Each member's mask depends on its own key and rate: under vmap as alone."""
    module = KeyedDropout(0.5).train()
    values = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))
    state = {"rate": torch.tensor([0.1, 0.5, 0.8]).double(), "key": torch.tensor([4, -9, 2**62])}
    together = vmap(lambda s, x: functional_call(module, s, (x,)))(state, values)
    for i in range(3):
        alone = functional_call(module, {name: value[i] for name, value in state.items()}, (values[i],))
        assert torch.equal(alone, together[i])
    assert len({tuple((t == 0).flatten().tolist()) for t in together}) == 3


def test_dropout_of_a_step_is_not_that_of_another() -> None:
    module = KeyedDropout(0.5).train()
    masks = set()
    for key in dropout_keys(0, 1, 20).tolist():
        module.key.fill_(key)
        masks.add(tuple(module(torch.ones(6, 6)).flatten().tolist()))
    assert len(masks) == 20


# -- knobs and bad input --------------------------------------------------------------------------------------------------


def test_knobs_are_set_on_the_member() -> None:
    module = PowerMLP(5, 4)
    module.with_knobs({"dropout": 0.25})
    assert module.knobs == {"dropout": 0.25}


def test_descriptions_differ_where_numbers_differ() -> None:
    """The identity of a record: any two of these networks answer differently."""
    made = [
        PowerMLP(5, 4), PowerMLP(7, 4), PowerMLP(5, 6), PowerMLP(5, 4, arity=3), PowerMLP(5, 4, outputs=3),
        PowerMLP(5, 4, activation="relu"), PowerMLP(5, 4, parametrization="mean-field"), PowerMLP(5, 4, batch_norm=True),
        ExactMLP(5, 4, modular_addition.addition_weights), ExactMLP(5, 4, modular_addition.composed_addition_weights),
    ]  # fmt: skip
    assert len({repr(module.describe()) for module in made}) == len(made)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"p": 1}, "p is 1: the modulus must be an integer >= 2."),
        ({"p": 2.5}, "p is 2.5: give a whole number from 1"),
        ({"width": 0}, "width is 0: give a whole number from 1"),
        ({"width": 1.5}, "width is 1.5: give a whole number from 1"),
        ({"activation": "tanh"}, "activation is 'tanh': choose one of quadratic, cubic"),
        ({"parametrization": "ntk"}, "parametrization is 'ntk': choose 'mean-field' or 'plain'."),
        ({"dropout": 1.0}, "dropout is 1.0: give a finite number >= 0 and below 1."),
        ({"dropout": -0.1}, "dropout is -0.1: give a finite number >= 0 and below 1."),
        ({"dropout": math.nan}, "dropout is nan: give a finite number >= 0 and below 1."),
        ({"width": 10**6, "arity": 10**6}, "choose a smaller width or p."),
    ],
)
def test_bad_networks_are_refused_in_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        PowerMLP(**{"p": 5, "width": 4, **arguments})
    assert sentence in str(error.value)


def test_a_float_table_is_refused_by_the_fused_engine() -> None:
    """Silently cutting real inputs to integers would train on other data."""
    g = np.random.default_rng(0)
    table = Table("floats", g.uniform(0, 5, (20, 2)), g.integers(0, 5, 20).astype(np.int32), 5)
    with pytest.raises(BadInput, match="fused"):
        train(PowerMLP(5, 4), table, Grid(), Recipe(steps=2, records=2), engine="fused", device="cpu")
