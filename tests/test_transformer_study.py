"""The study ``transformer-signal``: its network against a literal one and against the map, its readings, its claims."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.func import functional_call, vmap

from phasescope import lab
from phasescope.ensemble import simulate, streams, train
from phasescope.ensemble.streams import initialized
from phasescope.instruments import LEARNING
from phasescope.instruments.forward_pass import passage
from phasescope.lab import study_named
from phasescope.learners import SignalTransformer
from phasescope.studies.transformer_signal import experiments as parts
from phasescope.studies.transformer_signal import predictions
from phasescope.studies.transformer_signal import settings as study
from phasescope.studies.transformer_signal.claims import crossing_of, first_crossing, right_order
from phasescope.studies.transformer_signal.runs import (
    STRENGTHS,
    _parts,
    backpropagate,
    kept_size,
    numbers_of,
    propagate,
    simplex,
    state,
)
from phasescope.tasks.images import digits
from phasescope.testing import check_results
from phasescope.theory import transformer_signal
from phasescope.verdict import judge
from phasescope.vocabulary import BadInput, Grid, Member, Recipe

STUDY = study_named("transformer-signal")
TINY: dict[str, Any] = {
    "seeds": 2, "tokens": 11, "path_width": 65, "path_depth": 3, "path_draws": 2, "width": 65, "hidden": 32,
    "depth": 3, "draws": 2,
    "alphas": [0.2, 0.6], "sigmas": [1.0, 3.0, 8.0], "diagram_width": 40, "diagram_hidden": 32,
    "weak_sigmas": [3.0, 3.8], "weak_depth": 3, "weak_hidden": 16, "weak_draws": 1, "depths": [3, 6],
    "depths_draws": 1, "settled_depth": 3, "settled_draws": 1, "collapse_depth": 40, "train_seeds": 2,
    "train_width": 8, "train_hidden": 8, "train_depth": 2, "steps": 4, "batch": 16,
}  # fmt: skip


def network(width: int = 12, depth: int = 2, **numbers: Any) -> SignalTransformer:
    made = initialized(SignalTransformer(width, depth, **numbers), 0).double()
    assert isinstance(made, SignalTransformer)
    return made


# -- the network ---------------------------------------------------------------------------------------------------------


def literal(net: SignalTransformer, image: np.ndarray, c: Callable[[float], float]) -> np.ndarray:
    """The model's equations for one image, token by token, in loops."""
    w = {name: value.detach().numpy() for name, value in net.named_parameters()}
    edge, side, d = math.isqrt(net.inputs), net.side, net.width
    square = image.reshape(edge, edge)
    x = []
    for row in range(0, edge, side):
        for column in range(0, edge, side):
            patch = square[row : row + side, column : column + side].ravel()
            x.append((w["embed"] @ patch + w["position"][len(x)]) / np.sqrt(2))

    def unit(v: np.ndarray) -> np.ndarray:
        return v / np.linalg.norm(v) * np.sqrt(d)

    for layer in range(net.depth):
        query, key, value, widen, narrow = (
            w[f"blocks.{layer}.{n}"] for n in ("query", "key", "value", "widen", "narrow")
        )
        if net.skip == "reset":
            x = [unit(v) for v in x]
        mixed = []
        for v in x:
            scores = np.array([(query @ unit(v)) @ (key @ unit(u)) / np.sqrt(d) for u in x])
            shares = np.exp(scores) / np.exp(scores).sum()
            mixed.append(sum(share * (value @ unit(u)) for share, u in zip(shares, x, strict=True)))
        a, m = net.numbers["alpha_A"], net.numbers["alpha_M"]
        x = [c(a) * v + a * added for v, added in zip(x, mixed, strict=True)]
        if net.skip == "reset":
            x = [unit(v) for v in x]
        x = [c(m) * v + m * (narrow @ np.tanh(widen @ unit(v))) for v in x]
    return np.asarray(w["readout"] @ np.mean([unit(v) for v in x], axis=0))


@pytest.mark.parametrize("skip", ["preserving", "reset", "growing"])
def test_the_network_is_the_equations(skip: Any) -> None:
    net = network(skip=skip, inputs=16, sigma_A=2.0)
    net.with_knobs({"alpha_A": 0.3, "alpha_M": 0.8})
    images = streams(1)("images").standard_normal((3, 16))
    found = net(torch.from_numpy(images)).detach().numpy()
    keeps = (lambda a: math.sqrt(1 - a * a)) if skip == "preserving" else (lambda a: 1.0)
    for image, logits in zip(images, found, strict=True):
        np.testing.assert_allclose(logits, literal(net, image, keeps), rtol=1e-9, atol=1e-10)


def test_stacked_is_alone() -> None:
    """Members with knobs of their own agree under vmap with each one by itself, logits and gradients."""
    nets = []
    for i, alpha in enumerate((0.2, 0.5, 1.0)):
        net = SignalTransformer(12, 3)
        net.with_knobs({"alpha": alpha, "sigma_w": 1.0 + i})
        nets.append(initialized(net, i).double())
    images = torch.from_numpy(streams(2)("images").standard_normal((3, 5, 64)))

    def loss(weights: Any, state: Any, x: Any) -> Any:
        return functional_call(nets[0], (weights, state), (x,)).square().sum()

    weights, buffers = (
        {name: torch.stack([dict(getattr(n, kind)())[name].detach() for n in nets]) for name in dict(getattr(nets[0], kind)())}
        for kind in ("named_parameters", "named_buffers")
    )  # fmt: skip
    together = vmap(torch.func.grad_and_value(loss))(weights, buffers, images)
    for i, net in enumerate(nets):
        alone = net(images[i]).square().sum()
        torch.testing.assert_close(together[1][i], alone.detach())
        gradients = torch.autograd.grad(alone, list(net.parameters()))
        for (name, _), gradient in zip(net.named_parameters(), gradients, strict=True):
            torch.testing.assert_close(together[0][name][i], gradient)


def test_it_trains_and_passages_run_through_it() -> None:
    grid = Grid({"alpha": (0.2, 0.6), "sigma_A": (0.5, 1.0)}, seeds=1)
    recipe = Recipe(optimizer="adam", lr=0.003, steps=12, batch=32, loss="cross_entropy", records=2, first_record=12)
    data = train(SignalTransformer(16, 2), digits(), grid, recipe, LEARNING, device="cpu")
    assert (data.train_loss.isel(step=-1) < data.train_loss.isel(step=0)).all()
    net = network()
    with passage(net.float(), torch.from_numpy(digits().inputs[:2]), net.places) as found:
        assert [tuple(found.values[name].shape) for name in net.places] == [(2, 16, 12)] * 2


def test_tokens_start_at_size_one() -> None:
    net = initialized(SignalTransformer(400, 1), 0)
    size = net.embedded(torch.from_numpy(digits().inputs)).square().mean()  # type: ignore[operator]
    assert float(size.detach()) == pytest.approx(1, abs=0.1)


def test_scores_have_their_variance() -> None:
    """sigma_A hardly shows in the map of many tokens, so it is read off the scores: variance sigma_A^2 at once."""
    net = initialized(SignalTransformer(300, 1, sigma_A=1.5), 0)
    x = simplex(60, 300, 1.0, 0.0, streams(0)("tokens")).float()
    block = net.blocks[0]
    with torch.no_grad():
        scores = (x @ block.query.T) @ (x @ block.key.T).T / math.sqrt(300)
    assert float(scores.square().mean()) == pytest.approx(1.5**2, rel=0.1)


def test_knobs() -> None:
    net = SignalTransformer(4, 1)
    net.with_knobs({"alpha": 0.3, "alpha_M": 0.8, "sigma_w": 2.0})
    assert (net.numbers["alpha_A"], net.numbers["alpha_M"], net.numbers["sigma_w"]) == (0.3, 0.8, 2.0)
    assert math.isnan(float(net.knobs["alpha"]))
    net.with_knobs({"alpha": 0.1})
    assert net.knobs["alpha"] == 0.1
    assert float(net.blocks[0].alpha_M) == pytest.approx(0.1)
    made = [net, SignalTransformer(4, 2), SignalTransformer(4, 1, skip="reset"), SignalTransformer(4, 1, hidden=4),
            SignalTransformer(4, 1, sigma_A=2.0), SignalTransformer(4, 1, side=4), SignalTransformer(5, 1)]  # fmt: skip
    assert len({repr(one.describe()) for one in made}) == len(made)


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"activation": "tan"}, "there is no activation 'tan'; did you mean 'tanh'?"),
        ({"skip": "rest"}, "there is no skip 'rest'; did you mean 'reset'?"),
        ({"width": 0}, "width is 0: give a whole number from 1"),
        ({"inputs": 60}, "inputs is 60 with patches of side 2: give a square image that they tile."),
        ({"side": 3}, "inputs is 64 with patches of side 3"),
        ({"alpha": 1.2}, "alpha_A is 1.2: it must be finite and in [0, 1]."),
        ({"sigma_w": math.nan}, "sigma_w is nan"),
        ({"sigma_A": math.inf}, "sigma_A is inf"),
    ],
)
def test_bad_networks_are_refused_in_a_sentence(numbers: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        SignalTransformer(**{"width": 4, "depth": 1, **numbers})
    assert sentence in str(error.value)


# -- the network and the map -----------------------------------------------------------------------------------------------


def law_one_block_is_the_map(spoil: Callable[[nn.Module], None] = lambda block: None) -> None:
    """One wide block takes (q, p) where the map says, to 0.03 in the mean of six networks, for both skips."""
    for skip in ("preserving", "reset"):
        expected = np.array(
            transformer_signal.token_trajectory(
                transformer_signal.TransformerBlock(0.6, 0.7, 3.0, 1.0, 64, skip=skip), 1.0, 0.3, 1
            )[1]
        )
        found = []
        for seed in range(6):
            net = initialized(SignalTransformer(400, 1, hidden=400, skip=skip), seed).double().requires_grad_(False)
            net.blocks[0].alpha_A.fill_(0.6)
            net.blocks[0].alpha_M.fill_(0.7)
            spoil(net.blocks[0])
            gap, size = state(net.blocks[0](simplex(64, 400, 1.0, 0.3, streams(seed)("tokens"))[None])[0])
            found.append((size, size * (1 - gap)))
        assert np.mean(found, axis=0) == pytest.approx(expected, abs=0.03), skip


def test_one_block_is_the_map() -> None:
    law_one_block_is_the_map()


def _no_values(block: Any) -> None:
    block.value.mul_(0.8)


def _weak_hidden(block: Any) -> None:
    block.widen.mul_(0.5)


def _grows(block: Any) -> None:
    block.skip = "growing"


@pytest.mark.parametrize("wrong", [_no_values, _weak_hidden, _grows])
def test_wrong_blocks_are_caught(wrong: Callable[[Any], None]) -> None:
    with pytest.raises(AssertionError):
        law_one_block_is_the_map(wrong)


def test_the_simplex_is_exact_and_its_gap_is_read_to_full_precision() -> None:
    for rho, size in ((0.2, 1.7), (0.0, 1.0), (1 - 1e-10, 0.6)):
        x = simplex(9, 40, size, rho, streams(0)("tokens"))
        products = (x @ x.T / 40).numpy()
        np.testing.assert_allclose(np.diag(products), size, rtol=1e-12)
        np.testing.assert_allclose(products[~np.eye(9, dtype=bool)], rho * size, atol=1e-12)
        gap, q = state(x)
        assert (gap, q) == (pytest.approx(1 - rho, rel=1e-4), pytest.approx(size, rel=1e-12))


def member(seed: int = 0, **numbers: Any) -> Member:
    base = {
        "width": 40,
        "hidden": 16,
        "tokens": 16,
        "depth": 3,
        "sigma_A": 1.0,
        "skip": "preserving",
        "start": 1 - 1e-10,
    }
    return Member({**base, **numbers}, seed)


def test_numbers_are_spelt_out() -> None:
    assert numbers_of(member(strengths="0.3 0.8 3"))["alpha_M"] == 0.8
    deep = numbers_of(member(alpha=0.25, power=0.5, shallowest=16, depth=64))
    assert deep["alpha_A"] == deep["alpha_M"] == 0.125
    assert numbers_of(member(alpha=0.25, power=0.0, shallowest=16, depth=64))["alpha_A"] == 0.25


def test_gradients_are_those_of_the_whole_jacobian() -> None:
    """The growth that is read is J^T R of the network's Jacobian, written out, for the streams of the member."""
    one = member(start=0.4, width=10, hidden=8, tokens=4, depth=2, draws=2)
    init, tokens, gradient = (streams(0)(name) for name in ("init", "tokens", "gradient"))
    expected = []
    for _ in range(2):
        weights = init.bit_generator.state
        for name in STRENGTHS:
            numbers = numbers_of(Member({**one.knobs, "strengths": name}, 0))
            net = SignalTransformer(10, 2, hidden=8)
            net.with_knobs({key: numbers[key] for key in ("alpha_A", "alpha_M", "sigma_w")})
            net = net.double().requires_grad_(False)
            init.bit_generator.state = weights  # each setting has the same random numbers
            net.initialize(init)
            size = transformer_signal.collapsed_size(transformer_signal.TransformerBlock(*map(float, name.split())))
            x = simplex(4, 10, size, 0.4, tokens)
            jacobian = torch.autograd.functional.jacobian(lambda t, n=net: n.blocks[1](n.blocks[0](t[None]))[0], x)
            sent = torch.from_numpy(gradient.standard_normal((4, 10)))
            got = torch.einsum("ijkl,ij->kl", jacobian, sent)
            apart = state(net.blocks[1](net.blocks[0](x[None]))[0])[0] / state(x)[0]
            expected.append(np.log([apart, *(_parts(got) / _parts(sent))]) / 2)
    found = backpropagate(one, streams(0))["growth"]
    np.testing.assert_allclose(found, np.mean(np.reshape(expected, (2, 5, 4)), axis=0), rtol=1e-5)


@pytest.mark.parametrize("skip", parts.SKIPS)
def test_a_network_keeps_the_size_that_it_begins_with(skip: Any) -> None:
    """A gradient's growth has no edge: of 20 wide networks of one block, sizes after it are those before, to 3 %."""
    block = transformer_signal.TransformerBlock(0.3, 0.8, 3.0, skip=skip)
    one = {"alpha_A": 0.3, "alpha_M": 0.8, "sigma_w": 3.0, "skip": skip, "width": 200, "hidden": 200, "depth": 1}
    sizes = propagate(member(**one, draws=20), streams(0))["size"]
    assert sizes[0] == pytest.approx(kept_size(block)) and sizes[1] == pytest.approx(sizes[0], rel=0.03)


def test_parts_of_a_gradient() -> None:
    g = torch.from_numpy(streams(0)("g").standard_normal((7, 5)))
    whole, mean, rest = _parts(g)
    assert whole == pytest.approx(mean + rest)
    assert mean == pytest.approx(float(7 * g.mean(0).square().sum()))
    assert _parts(g.mean(0).expand(7, 5))[2] == pytest.approx(0, abs=1e-20)


def test_a_batch_is_the_mean_of_its_networks_and_a_member_does_not_depend_on_company() -> None:
    one = member(strengths="0.5 0.5 2", draws=2)
    first, both = propagate(member(strengths="0.5 0.5 2"), streams(0)), propagate(one, streams(0))
    second = 2 * both["gap"] - first["gap"]
    assert both["growth"] == pytest.approx(np.mean([np.log(gap[-1] / gap[0]) / 3 for gap in (first["gap"], second)]))
    some = parts.experiments(study.TransformerSignalSettings(**TINY))["path"]
    alone = simulate(replace(some, grid=Grid({"skip": ("reset",), "sigma_A": (2.0,)}, seeds=[1])), workers=1)  # type: ignore[type-var]
    among = simulate(some, workers=2)  # type: ignore[arg-type]
    np.testing.assert_array_equal(among.gap.sel(skip="reset", sigma_A=2.0, seed=1), alone.gap[0, 0, 0])


# -- what the claims read --------------------------------------------------------------------------------------------------


def test_crossings() -> None:
    sigma = {"sigma_w": [1.0, 2.0, 4.0], "seed": [0, 1]}
    lines = xr.DataArray([[-1.0, 0.0, 2.0], [-2.0, -1.0, 1.0]], dims=("seed", "sigma_w"), coords=sigma)
    assert crossing_of(lines) == pytest.approx([2.0, 3.0])
    bent = xr.DataArray([[-1.0, 1.0, 5.0], [-1.0, -1.0, -1.0]], dims=("seed", "sigma_w"), coords=sigma)
    assert first_crossing(bent) == pytest.approx([1.5, math.inf])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = Path(tmp_path_factory.mktemp("transformer")) / "run"
    return lab.run("transformer-signal", out=place, device="cpu", settings=TINY)


def test_its_results_obey_the_laws(results: Any) -> None:
    check_results(results)


def test_networks_that_obey_the_theory_exactly_make_its_claims_hold(results: Any) -> None:
    """The claims' arithmetic, without noise: readings replaced by what theory says. Wrong signs or axes would show."""
    data, s = {name: run.copy(deep=True) for name, run in results.data.items()}, results.settings
    exponents = data["exponents"]
    for skip in parts.SKIPS:
        for name in STRENGTHS:
            block = predictions.block_at(name, skip)
            growth = [formula(block) for formula in predictions.gradient_formulas(s.depth).values()]
            at = {"skip": skip, "strengths": name}
            exponents["growth"].loc[at] = np.array([transformer_signal.angle_exponent(block), *growth])
        states = predictions.path(s, skip)
        data["path"]["gap"].loc[{"skip": skip, "sigma_A": 1.0}] = 1 - states[:, 1] / states[:, 0]
    many = {
        name: xr.concat([run.isel(seed=[0])] * 12, "seed").assign_coords(seed=range(12)) for name, run in data.items()
    }
    exact = ("path", "angle-exponent", "gradient-total", "gradient-mean", "gradient-difference")
    verdicts = {v.id: v.verdict for v in judge(STUDY.claims(s), many)}
    wanted = {f"{name}-{skip}" for name in exact for skip in parts.SKIPS}
    assert {name for name in wanted if verdicts[name] != "holds"} == set()


def test_pairs_of_trained_networks_are_ranked(results: Any) -> None:
    """The networks have what is drawn for them, and the lower loss is looked for where the score is lower."""
    s, seeds = results.settings, range(6)
    for sample in predictions.SAMPLES:
        for place in predictions.PLACES:
            member = Member({"sample": sample, "place": place}, 1)
            net = parts.placed_network(s, digits(), member)
            alpha, sigma_w = predictions.placed(s, sample, place, 1)
            assert (net.knobs["alpha"], net.knobs["sigma_w"]) == (alpha, sigma_w)
            assert 0.1 < alpha < 0.9 and 1 < sigma_w < 6
            assert sample == "any" or predictions.exponents_at(alpha, sigma_w)[0] < 0
    places = [[predictions.placed(s, "any", place, seed)[0] for seed in seeds] for place in predictions.PLACES]
    one, other = (
        xr.Dataset({"test_loss": (("seed", "step"), np.array(x)[:, None])}, {"seed": list(seeds), "step": [0]})
        for x in places
    )
    other["test_loss"][5] = np.nan
    lower = right_order(s, "any", lambda alpha, _: alpha, "strength").read(one, other)
    higher = right_order(s, "any", lambda alpha, _: -alpha, "strength").read(one, other)
    np.testing.assert_array_equal(lower, [1, 1, 1, 1, 1, np.nan])
    np.testing.assert_array_equal(higher, [0, 0, 0, 0, 0, np.nan])
