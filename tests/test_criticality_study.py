"""The study ``criticality``: many networks in one pass against single ones, learners against theory, an end to end run."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from phasescope import lab
from phasescope.ensemble import streams
from phasescope.instruments.forward_jacobian import jacobian_profile, push_forward
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import exact_partial_norm
from phasescope.lab import study_named
from phasescope.learners import MLPMixer, ResidualConv, SignalNetwork
from phasescope.studies.criticality import networks, readings
from phasescope.studies.criticality.figures import critical_line
from phasescope.testing import check_results
from phasescope.theory import activations, criticality
from phasescope.theory.criticality import Block
from phasescope.verdict import Control, at, judge
from phasescope.vocabulary import BadInput, Member

STUDY = study_named("criticality")
TINY: dict[str, Any] = {
    "width": 24, "wide": 30, "wide_nets": 1, "depth": 6, "nets": 2, "layers": 12, "deep_nets": 1, "samples": 2, "seeds": 3, "chi_width": 24, "chi_layer": 4, "chi_nets": 1,
    "chi_probes": 2, "chi_weights": 3, "chi_biases": 2, "diagram_weights": 3, "diagram_biases": 3, "diagram_nets": 1,
    "batch_width": 16, "batch_layers": 8, "batch_samples": 6, "batch_nets": 1, "tangent_width": 12,
    "tangent_layers": 4, "tangent_nets": 1, "architecture_width": 8, "architecture_depth": 4,
    "architecture_samples": 2, "architecture_nets": 1, "train_width": 8, "train_depths": (2, 3), "train_steps": 4, "train_seeds": 2,
    "rates": (0.03, 0.1),
}  # fmt: skip

BLOCKS = [
    Block(phi, w, b, norm, mu)  # type: ignore[arg-type]
    for phi, norm in (
        ("relu", "none"),
        ("erf", "layer pre"),
        ("gelu", "layer post"),
        ("erf", "batch"),
        ("relu", "rms pre"),
    )
    for w, b, mu in ((0.7, 0.3, 0.0), (2.0, 0.0, 1.0))
]


def twin(block: Block, width: int, layers: int, inputs: int, seed: int) -> SignalNetwork:
    """Return the single network that ``propagate`` draws for ``block`` from the same stream."""
    net = SignalNetwork(
        width, layers - 1, inputs=inputs, activation=str(block.activation), norm=block.norm,
        weight_variance=block.weight_variance, bias_variance=block.bias_variance, residual=block.residual,
    )  # fmt: skip
    net.initialize(streams(seed)("init"))
    return net


# -- derivatives along a direction -------------------------------------------------------------------------------------


def test_push_forward_is_the_jacobian_times_the_vector() -> None:
    """In float64, where every unit of every sample depends on all others, against the exact Jacobian."""
    g = np.random.default_rng(0)
    matrix = torch.from_numpy(g.standard_normal((12, 12)))
    h, u = (torch.from_numpy(g.standard_normal((3, 4))) for _ in range(2))

    def coupled(x: torch.Tensor) -> torch.Tensor:
        return torch.erf(x.flatten() @ matrix).view(3, 4) * x.mean()

    out, along = push_forward(coupled, h, u)
    torch.testing.assert_close(out, coupled(h))
    eps = 1e-6
    torch.testing.assert_close(along, (coupled(h + eps * u) - coupled(h - eps * u)) / (2 * eps), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_profile_is_unbiased(norm: str) -> None:
    """Forwards and exactly: the same J^{l0,l}, also where BatchNorm joins the samples."""
    net = SignalNetwork(7, 4, inputs=7, activation="erf", norm=norm, bias_variance=0.1)
    net.initialize(streams(0)("init"))
    x = torch.from_numpy(networks.random_inputs(streams(1)("x"), 5, 7))
    with passage(net, x, ["first", *net.places]) as found:
        exact = [exact_partial_norm(found, "first", name) for name in net.places]
        kernel = [float(found.values[name].detach().square().mean()) for name in net.places]
    drawn = [jacobian_profile(list(net.blocks), net.first(x).detach(), streams(s)("v")) for s in range(200)]
    estimates = torch.stack([j for _, j in drawn])
    assert torch.equal(estimates[:, 0], torch.ones(200, dtype=torch.float64))
    error = estimates[:, 1:].std(0) / 200**0.5
    assert (abs(estimates[:, 1:].mean(0) - torch.tensor(exact)) < 4 * error).all()
    np.testing.assert_allclose(drawn[0][0][1:], kernel, rtol=1e-5)


# -- many networks in one pass -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [1, 3])
def test_the_batched_pass_is_that_of_single_networks(start: int) -> None:
    """Same stream, same network: kernels equal, and J that of the same signs pushed through the single network."""
    width, layers, probes = 12, 5, 2
    inputs = networks.random_inputs(streams(9)("inputs"), 4, 6)
    kernels, jacobians = networks.propagate(
        BLOCKS, inputs, streams(5)("init"), streams(6)("signs"), width=width, layers=layers, start=start, probes=probes
    )
    for i, block in enumerate(BLOCKS):
        if block.norm == "batch" and probes > 1 and start > 1:
            continue  # copies of a sample are more samples, and BatchNorm sees them
        net = twin(block, width, layers, 6, 5)
        h = net.first(torch.from_numpy(inputs))
        alone = [h]
        for part in net.blocks:
            alone.append(part(alone[-1]))
        expected = [float(x.detach().double().square().mean()) for x in alone]
        np.testing.assert_allclose(kernels[i], expected, rtol=2e-4)
    assert np.isnan(jacobians[:, : start - 1]).all()
    np.testing.assert_array_equal(jacobians[:, start - 1], 1.0)


def test_the_batched_jacobian_is_unbiased() -> None:
    """Means over many signs against the exact norms of the single networks of the same draws."""
    width, layers = 6, 4
    inputs = networks.random_inputs(streams(9)("inputs"), 3, 6)
    estimates = [
        networks.propagate(BLOCKS, inputs, streams(5)("init"), streams(s)("signs"), width=width, layers=layers)[1][
            :, -1
        ]
        for s in range(200)
    ]
    mean, error = np.mean(estimates, 0), np.std(estimates, 0) / 200**0.5
    for i, block in enumerate(BLOCKS):
        net = twin(block, width, layers, 6, 5)
        with passage(net, torch.from_numpy(inputs), ["first", *net.places]) as found:
            exact = exact_partial_norm(found, "first", net.places[-1])
        assert abs(mean[i] - exact) < 4.5 * error[i] + 1e-5 * exact, block


# -- networks against the recurrences of infinite width ----------------------------------------------------------------

WIDE = [
    Block("relu", 2.0), Block("erf", 1.5, 0.1), Block("gelu", 1.5, 0.2, residual=0.9), Block("relu", 2.0, 0.5, "layer pre"),
    Block("erf", 2.0, 0.0, "layer pre", 1.0), Block("relu", 2.0, 0.9, "layer post"), Block("erf", 1.0, 0.1, "rms post", 0.5),
    Block("gelu", 1.0, 0.3, "rms pre"), Block("linear", 1.3, 0.2),
]  # fmt: skip


def propagated(blocks: list[Block], nets: int = 10, samples: int = 4, width: int = 200, layers: int = 6) -> Any:
    """Return kernels and J of ``nets`` draws, (nets, 2, len(blocks), layers)."""
    return np.array([
        networks.propagate(
            blocks, networks.random_inputs(streams(s)("inputs"), samples, 50), streams(s)("init"), streams(s)("signs"),
            width=width, layers=layers,
        )
        for s in range(nets)
    ])  # fmt: skip


def agree(found: Any, expected: Any) -> Any:
    """Within five standard errors over networks, and 4 %: what is of first order in 1/N over five layers of 200."""
    error = np.std(found, 0, ddof=1) / len(found) ** 0.5
    return abs(np.mean(found, 0) - expected) < 5 * error + 0.04 * abs(expected)


def predicted(blocks: list[Block], layers: int = 6) -> Any:
    starts = [1 + block.bias_variance for block in blocks]
    kernels = [criticality.kernel_trajectory(b, k, layers - 1) for b, k in zip(blocks, starts, strict=True)]
    return np.array([kernels, [criticality.apjn(b, k, layers - 1) for b, k in zip(blocks, starts, strict=True)]])


def test_wide_networks_follow_the_recurrences() -> None:
    """Kernel and J over six layers of 200 units, for every norm of one sample and any residual."""
    assert agree(propagated(WIDE), predicted(WIDE)).all()


def test_wide_batch_normalized_networks_follow_the_recurrences() -> None:
    """J alone, from the second layer on: theory's kernel is that over an infinite batch."""
    blocks = [Block("relu", 2.0, 0.0, "batch"), Block("erf", 0.5, 1.0, "batch")]
    found = propagated(blocks, nets=6, samples=64)[:, 1].mean(0)
    rates = (found[:, -1] / found[:, 1]) ** 0.25 / [criticality.fixed_chi(block) for block in blocks]
    assert ((rates > 0.98) & (rates < 1.06)).all()  # a batch of 64 has a chi_J a few percent larger


@pytest.mark.parametrize("block", WIDE[:1] + WIDE[3:6] + WIDE[8:], ids=lambda b: f"{b.activation} {b.norm}")
def test_orthogonal_networks_follow_them_too(block: Block) -> None:
    found = []
    for seed in range(6):
        net = SignalNetwork(
            100, 5, inputs=50, activation=str(block.activation), norm=block.norm, residual=block.residual,
            weight_variance=block.weight_variance, bias_variance=block.bias_variance, weights="orthogonal",
        )  # fmt: skip
        net.initialize(streams(seed)("init"))
        x = torch.from_numpy(networks.random_inputs(streams(seed)("inputs"), 4, 50))
        profile = jacobian_profile(list(net.blocks), net.first(x).detach(), streams(seed)("signs"))
        found.append(torch.stack(profile).numpy())
    assert agree(found, predicted([block])[:, 0]).all()


def test_a_wrong_recurrence_is_rejected() -> None:
    """The law above has teeth: variances off by a tenth, a forgotten residual, a norm in the other place."""
    found = propagated(WIDE)
    for i, change in ((0, {"weight_variance": 2.2}), (2, {"residual": 0.0}), (3, {"norm": "layer post"})):
        wrong = [*WIDE[:i], replace(WIDE[i], **change), *WIDE[i + 1 :]]  # type: ignore[arg-type]
        ok = agree(found, predicted(wrong))[:, i]
        assert not ok.all(), change


@pytest.mark.parametrize("mu", [0.0, 0.9, 1.0])
def test_a_convolutional_network_follows_the_recurrence(mu: float) -> None:
    """With wrapped edges and LayerNorm over the image every position is alike: theory's block, at many channels."""
    block = Block("relu", 1.5, 0.4, "layer pre", mu)
    found = []
    for seed in range(4):
        net = ResidualConv(96, 6, size=6, norm="layer", weight_variance=1.5, bias_variance=0.4, residual=mu)
        net.initialize(streams(seed)("init"))
        x = torch.from_numpy(networks.random_inputs(streams(seed)("x"), 4, 108))
        found.append(
            torch.stack(jacobian_profile(list(net.blocks), net.embedded(x).detach(), streams(seed)("v"))).numpy()
        )
    expected = np.stack([criticality.kernel_trajectory(block, 1.4, 6), criticality.apjn(block, 1.4, 6)])
    error = np.std(found, 0, ddof=1) / 2
    assert (abs(np.mean(found, 0) - expected) < 4 * error + 0.04 * expected).all()


def test_the_mixer_at_unit_residual() -> None:
    """K grows by sigma_w^2 A(q) + sigma_b^2 per half block, with q = sigma_w^2 + sigma_b^2 that gelu sees.

    In the first half block, on fresh inputs, chi_J = 1 + sigma_w^4 B(q) / K. Later LayerNorm takes off what all channels
    have in common, which is a part of K, so J grows faster: still as a power of depth.
    """
    w, b, depth = 1.5, 0.3, 8
    unit = activations.activation("gelu").moments(w + b)
    found = []
    for seed in range(4):
        net = MLPMixer(96, depth, size=16, patch=4, hidden=192, weight_variance=w, bias_variance=b)
        net.initialize(streams(seed)("init"))
        x = torch.from_numpy(networks.random_inputs(streams(seed)("x"), 6, 768))
        profile = jacobian_profile(list(net.blocks), net.embedded(x).detach(), streams(seed)("v"))
        found.append(torch.stack(profile).numpy())
    kernel, jacobian = np.mean(found, 0)
    np.testing.assert_allclose(np.diff(kernel).mean(), w * unit.mean_square + b, rtol=0.1)
    np.testing.assert_allclose((jacobian[1] - 1) * kernel[0], w**2 * unit.slope_square, rtol=0.15)
    logs = np.log(jacobian)
    assert 0.85 < (logs[16] - logs[8]) / (logs[8] - logs[4]) < 1.25  # 2 for an exponential


# -- the other learners ------------------------------------------------------------------------------------------------


def test_a_mixer_and_a_convolution_are_what_they_say() -> None:
    """One half block and one block of each kind, written out in numpy from their definition."""
    mixer = MLPMixer(4, 1, size=4, patch=2, hidden=5, bias_variance=0.2, residual=0.5)
    mixer.initialize(streams(0)("init"))
    h = torch.from_numpy(streams(1)("h").standard_normal((2, 4, 4)).astype(np.float32))
    x = (h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True, unbiased=False)
    tokens, channels = mixer.blocks
    for half, equation in ((tokens, "st,ntc->nsc"), (channels, "sc,ntc->nts")):
        shape = (1, -1, 1) if half is tokens else (1, 1, -1)
        inner = torch.einsum(equation, half.enter.weight, x) + half.enter.bias.view(shape)
        outer = torch.einsum(equation, half.leave.weight, torch.nn.functional.gelu(inner)) + half.leave.bias.view(shape)
        torch.testing.assert_close(half(h), outer + 0.5 * h, rtol=1e-4, atol=1e-5)

    net = ResidualConv(3, 1, size=4, norm="batch", bias_variance=0.2, residual=0.5)
    net.initialize(streams(0)("init"))
    h = torch.from_numpy(streams(1)("h").standard_normal((2, 3, 4, 4)).astype(np.float32))
    flat = h.transpose(0, 1).flatten(1)
    x = torch.relu((h - flat.mean(1).view(1, 3, 1, 1)) / flat.std(1, unbiased=False).view(1, 3, 1, 1))
    block = net.blocks[0]
    out = torch.zeros_like(h) + block.bias.view(1, 3, 1, 1)
    for i in range(3):
        for j in range(3):
            moved = torch.roll(x, (1 - i, 1 - j), (2, 3))
            out = out + torch.einsum("oc,nchw->nohw", block.weight[:, :, i, j], moved)
    torch.testing.assert_close(block(h), out + 0.5 * h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", [MLPMixer(8, 2, size=8, patch=4), ResidualConv(6, 2, size=8)])
def test_they_give_logits_and_take_knobs(net: Any) -> None:
    assert set(net.knobs) == {"weight_variance", "bias_variance", "residual"}
    before = dict(net.describe())
    net.with_knobs({"weight_variance": 1.0, "bias_variance": 0.5, "residual": 0.3})
    assert net.describe() != before
    net.initialize(streams(0)("init"))
    out = net(torch.from_numpy(networks.random_inputs(streams(0)("x"), 5, 192)))
    assert out.shape == (5, 10)
    assert torch.isfinite(out).all()
    weight = next(p for name, p in net.named_parameters() if name.startswith("blocks.0") and name.endswith("weight"))
    fan_in = weight[0].numel()
    assert float(weight.detach().var()) * fan_in == pytest.approx(1.0, rel=0.5)
    assert len(net.places) == len(net.blocks)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MLPMixer(8, 2, size=8, patch=3), "patch is 3"),
        (lambda: MLPMixer(0, 2, size=8, patch=4), "channels is 0"),
        (lambda: MLPMixer(8, 2, size=8, patch=4, residual=-1.0), "residual is -1.0"),
        (lambda: ResidualConv(8, 2, size=8, norm="bacth"), "did you mean 'batch'"),
        (lambda: ResidualConv(8, 0, size=8), "depth is 0"),
        (lambda: ResidualConv(8, 1, size=8, weight_variance=float("inf")), "weight_variance is inf"),
    ],
)
def test_bad_networks_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        make()


# -- what is read off --------------------------------------------------------------------------------------------------


class _EverySign:
    """In place of random signs all 2^5 of them: an average over them is exact."""

    def integers(self, low: int, high: int, size: Any) -> Any:
        return np.array(list(product((0, 1), repeat=5))).reshape(size)


def test_the_tangent_kernel_is_that_of_its_definition() -> None:
    """Theta from all sign vectors against the Jacobian written out by hand, in a network of two layers."""
    block, width = Block("erf", 1.3, 0.4), 5

    def generator(purpose: str) -> Any:
        return _EverySign() if purpose == "probes" else streams(0)(purpose)

    tangent, total, plain = networks._tangent(block, width, 2, 32, generator)
    net = twin(block, width, 2, width, 0)
    x = torch.from_numpy(networks.random_inputs(streams(0)("inputs"), 1, width))
    with torch.no_grad():
        h = net.first(x)[0]
        phi, slope = torch.erf(h), 2 / np.pi**0.5 * torch.exp(-(h**2))
        jacobian = float((net.blocks[0].weight * slope).square().sum() / width)
        k1, k2 = float(h.square().mean()), float(net.blocks[0](h).square().mean())
        # NTK parametrization: W = sigma_w w / sqrt(N), b = sigma_b beta; the first layer has sigma_w = 1
        last, first = 1.3 * float(phi.square().mean()) + 0.4, (float(x.square().mean()) + 0.4) * jacobian
    assert tangent == pytest.approx(last + first, rel=1e-4)
    assert total == pytest.approx(k2 + k1 * jacobian, rel=1e-4)
    assert plain == pytest.approx(k1 + k2, rel=1e-4)


def test_slopes_are_those_of_known_laws() -> None:
    layers = np.arange(1, 41.0)
    laws = {"power": layers**-1.5, "exponential": 1.1**layers, "root": np.exp(1.8 * np.sqrt(layers))}
    dims = ("case", "seed", "layer")
    profiles = xr.Dataset(
        {"jacobian": (dims, np.array([[j] for j in laws.values()]))},
        {"case": list(laws), "seed": [0], "layer": layers},
    )

    def slope(case: str, between: tuple[int, int], over: str = "depth") -> Any:
        return readings.slope(between, over)(at("profiles", case=case))({"profiles": profiles})

    assert slope("power", (8, 40), "log depth") == pytest.approx([-1.5])
    assert slope("exponential", (1, 40)) == pytest.approx([np.log(1.1)])
    assert slope("root", (8, 40), "root of depth") == pytest.approx([1.8])


def test_deviations_are_from_theory_of_the_place_or_of_another() -> None:
    """One number per seed; theory without norm may stand beside networks with it, and that of the first kernel too."""
    norms, places = ["none", "layer pre"], ("norm", "weight_variance")
    dims, coords = ("seed", *places), {"norm": norms, "weight_variance": [1.0, 2.0]}
    theirs = {"chi": [[[1.0, 2.0], [4.0, 4.0]]], "chi_early": [[[2.0, 4.0], [8.0, 8.0]]]}
    expected = xr.Dataset({name: (dims, values) for name, values in theirs.items()}, {"seed": [0], **coords})
    found = xr.Dataset({"chi": expected.chi.isel(seed=[0, 0]) * xr.DataArray([1.0, 1.1], dims="seed")})
    found, data = found.assign_coords(seed=[5, 6]), {"theory": expected}
    data["chi"] = found

    def of(measure: Any, norm: str, theory_norm: str) -> Any:
        return measure(at("chi", norm=[norm]), at("theory", norm=theory_norm))(data)

    assert of(readings.chi_deviation, "none", "none") == pytest.approx([0, 0.1])
    assert of(readings.chi_deviation, "layer pre", "none") == pytest.approx([5**0.5, np.hypot(3.4, 1.2) / 2**0.5])
    assert of(readings.chi_early, "none", "none") == pytest.approx([0.5, 0.45])


def test_octaves_tell_powers_from_exponentials() -> None:
    blocks = np.arange(33.0)
    laws = np.stack([(1 + blocks) ** 1.3, 0.8**blocks, 1.5**blocks])
    cells = xr.Dataset(
        {"jacobian": (("kind", "sigma", "seed", "block"), laws[:, None, None])},
        {"kind": ["power", "decay", "growth"], "sigma": [2.0], "seed": [0], "block": blocks},
    )
    power, decay, growth = readings.octaves.read(cells).isel(seed=0).values
    assert power == pytest.approx(1.04, abs=0.02)
    assert decay == pytest.approx(2.0)
    assert growth == pytest.approx(2.0)


def test_the_best_rate_is_chosen_by_training_accuracy() -> None:
    train = xr.DataArray([[[0.2], [np.nan], [0.9]]], dims=("seed", "lr", "step"), coords={"lr": [1, 2, 3], "step": [5]})
    test = xr.DataArray([[[0.8], [np.nan], [0.7]]], dims=("seed", "lr", "step"), coords={"lr": [1, 2, 3], "step": [5]})
    cell = xr.Dataset({"train_accuracy": train, "test_accuracy": test})
    assert readings.trained.read(cell).values.tolist() == [0.7]
    assert readings.trained.read(cell.isel(lr=0)).values.tolist() == [0.8], "one rate that was tried"


@pytest.mark.parametrize("mu", [0.0, 0.9])
@pytest.mark.parametrize("norm", networks.PLACES_OF_NORM)
@pytest.mark.parametrize("phi", networks.PHIS)
def test_theory_is_critical_on_the_line_that_is_drawn(phi: str, norm: Any, mu: float) -> None:
    line = critical_line(phi, norm, mu, np.linspace(0.1, 4, 5), np.linspace(0, 2, 5))
    assert line is not None
    for w, b in list(zip(line.x, line.y, strict=True))[:: max(len(line.x) // 5, 1)]:
        assert criticality.fixed_chi(Block(phi, float(w), float(b), norm, mu)) == pytest.approx(1.0, abs=2e-3)
    assert critical_line(phi, norm, 1.0, np.linspace(0.1, 4, 5), np.linspace(0, 2, 5)) is None


def test_numbers_and_words_are_inverse() -> None:
    assert networks.numbers(networks.words((0.25, 2.0, 1 / 3))) == pytest.approx((0.25, 2.0, 1 / 3), rel=1e-11)


# -- the whole ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lab.run("criticality", out=Path(tmp_path_factory.mktemp("tiny")) / "run", device="cpu", settings=TINY)


def test_its_results_obey_the_laws(results: Any) -> None:
    check_results(results)


def test_a_control_that_shows_the_effect_lets_nothing_hold(results: Any) -> None:
    broken = [replace(c, control=Control("itself", c.effect)) for c in STUDY.claims(results.settings)]
    assert all(v["verdict"] != "holds" for v in judge(broken, results.data).to_json())


def test_a_missing_folder_of_images_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no train-images"):
        lab.run("criticality", out=tmp_path / "run", settings={**TINY, "folder": str(tmp_path)})
    assert not (tmp_path / "run").exists()


def test_the_sources_of_a_member_are_its_seed_and_numbers_alone() -> None:
    """The same member measured twice gives the same bits; another seed gives others."""
    fixed = {"width": 10, "layers": 4, "samples": 2, "nets": 2}
    one, again = (networks.measure_profiles(Member(fixed, 3), streams(3)) for _ in range(2))
    np.testing.assert_array_equal(one["jacobian"], again["jacobian"])
    assert not np.array_equal(one["jacobian"], networks.measure_profiles(Member(fixed, 4), streams(4))["jacobian"])


def test_claims_are_about_the_critical_points_of_theory() -> None:
    """Each case that a claim calls critical is critical by theory, and each control is not."""
    cases = {**networks.CASES, **networks.DEEP_CASES}
    for name in ("relu 2", "erf critical", "pre relu", "post relu, critical"):
        assert criticality.fixed_chi(cases[name]) == pytest.approx(1.0, abs=1e-6), name
    for name in ("relu 1.8", "relu 2.2", "erf chaotic", "pre relu, bias", "post relu", "erf critical, bias"):
        assert abs(criticality.fixed_chi(cases[name]) - 1) > 0.05, name
