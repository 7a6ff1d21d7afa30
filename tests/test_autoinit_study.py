"""The study ``autoinit``: its ways to begin a network, its learners, and a tiny run from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from phasescope import lab
from phasescope.ensemble import streams
from phasescope.ensemble.streams import initialized
from phasescope.instruments.forward_pass import passage
from phasescope.lab import study_named
from phasescope.learners import VGG, ResMLP
from phasescope.report import png
from phasescope.studies.autoinit.claims import falls
from phasescope.studies.autoinit.networks import WAYS, Initialized, noise, rate_of, tuned_network, weight_layers
from phasescope.testing import check_results
from phasescope.theory import autoinit
from phasescope.vocabulary import BadInput, Member

STUDY = study_named("autoinit")
TINY: dict[str, Any] = {
    "seeds": 2,
    "trained": 2,
    "width": 12,
    "depth": 3,
    "wide": 16,
    "short": 3,
    "steps": 6,
    "image_steps": 4,
    "records": 3,
    "plan": (4, 0, 4),
    "patch_width": 8,
    "patch_depth": 2,
}


def begun(way: str, seed: int = 0, plan: tuple[int, ...] = (32, 32, 0, 48)) -> VGG:
    net = initialized(Initialized(VGG(8, plan), 64, way), seed)
    assert isinstance(net, Initialized) and isinstance(net.inner, VGG)
    return net.inner


def fans(weight: torch.Tensor) -> tuple[int, int]:
    area = int(np.prod(weight.shape[2:]))
    return weight.shape[1] * area, weight.shape[0] * area


class TestWays:
    @pytest.mark.parametrize(
        "way, variance",
        [
            ("torch", lambda fan_in, fan_out: 1 / (3 * fan_in)),
            ("kaiming", lambda fan_in, fan_out: 2 / fan_in),
            ("xavier", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ],
    )
    def test_variance_is_the_published_one(self, way: str, variance: Any) -> None:
        """Within five standard errors of a sample variance of the larger layers."""
        for name, part in weight_layers(begun(way)):
            count = part.weight.numel()
            if count > 1000:
                measured = float(part.weight.detach().double().square().mean())
                assert measured == pytest.approx(variance(*fans(part.weight)), rel=5 * (2 / count) ** 0.5), name

    @pytest.mark.parametrize("way", ["kaiming", "xavier", "orthogonal", "lsuv"])
    def test_biases_are_zero_but_torchs(self, way: str) -> None:
        assert all(float(part.bias.detach().abs().max()) == 0 for _, part in weight_layers(begun(way)))
        assert all(float(part.bias.detach().abs().max()) > 0 for _, part in weight_layers(begun("torch")))

    def test_orthogonal_rows(self) -> None:
        for _, part in weight_layers(begun("orthogonal")):
            matrix = part.weight.detach().flatten(1)
            rows, columns = matrix.shape
            product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
            torch.testing.assert_close(product, 2 * torch.eye(len(product)), atol=1e-4, rtol=0)

    def test_lsuv_has_outputs_of_unit_variance(self) -> None:
        net, generator = VGG(8, (16, 16, 0, 24)), streams(3)("init")
        way = Initialized(net, 64, "lsuv")
        way.initialize(generator)
        again = streams(3)("init")
        Initialized(VGG(8, (16, 16, 0, 24)), 64, "orthogonal").initialize(again)
        batch = noise(again, 64)
        names = [name for name, _ in weight_layers(net)]
        with passage(net, batch, names) as found:
            deviations = [float(found.values[name].detach().std()) for name in names]
        np.testing.assert_allclose(deviations, 1, atol=0.011)

    def test_autoinit_is_torchs_draw_scaled(self) -> None:
        tuned, drawn = begun("autoinit"), begun("torch")
        for (name, part), (_, other) in zip(weight_layers(tuned), weight_layers(drawn), strict=True):
            ratio = part.weight.detach() / other.weight.detach()
            assert float(ratio.std()) < 1e-5
            assert (float(ratio.mean()) > 1.2) == name.startswith("features"), name

    def test_each_way_is_another_learner_and_none_is_unknown(self) -> None:
        assert len({repr(Initialized(VGG(8), 64, way).describe()) for way in WAYS}) == len(WAYS)
        with pytest.raises(BadInput, match="no way 'he'"):
            Initialized(VGG(8), 64, "he")

    def test_same_seed_same_bits(self) -> None:
        first, second = (dict(begun("autoinit", 5).named_parameters()) for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)


class TestLearners:
    @pytest.mark.parametrize("net", [VGG(8), VGG(8, batch_norm=True), ResMLP(8, 16, 2), ResMLP(8, 16, 2, patch=4)])
    def test_shape_and_order_of_samples(self, net: nn.Module) -> None:
        """Samples do not mix in evaluation, and the description names what changes the numbers."""
        net = initialized(net, 1).eval()
        batch = noise(streams(0)("x"), 64, 6)
        whole = net(batch)
        assert whole.shape == (6, 10)
        torch.testing.assert_close(whole[[4]], net(batch[[4]]), atol=1e-5, rtol=1e-4)
        assert net.describe()["side"] == 8

    def test_a_patch_is_a_square_of_pixels(self) -> None:
        """The embedding of patch (1, 0) sees rows 2-3 and columns 0-1 alone."""
        net = initialized(ResMLP(8, 4, 1), 0)
        image = torch.zeros(1, 8, 8)
        image[0, 2:4, 0:2] = 1
        seen: list[torch.Tensor] = []
        handle = net.embed.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
        net(image.reshape(1, 64))
        handle.remove()
        assert seen[0][0].sum(-1).tolist() == [0.0] * 4 + [4.0] + [0.0] * 11

    @pytest.mark.parametrize("wrong", [(), (0, 4), (4, -1), (4, 0, 4, 0, 4, 0, 4, 0, 4)])
    def test_plans_that_can_not_be(self, wrong: tuple[int, ...]) -> None:
        with pytest.raises(BadInput, match="plan "):
            VGG(8, wrong)

    def test_patches_that_do_not_fit(self) -> None:
        with pytest.raises(BadInput, match="patch is 3"):
            ResMLP(8, patch=3)


class TestMeasures:
    @pytest.mark.parametrize("variance", [0.05, 0.5, 3.0, 50.0])
    def test_rates_of_one_layer(self, variance: float) -> None:
        """By the map: below 1/sigma_w^2 it converges, above it never does, and at the rate of one step it lands."""
        gain = autoinit.relu_gain(variance)
        assert autoinit.iterations(0.95 / variance, gain) <= 200
        assert autoinit.iterations(1.05 / variance, gain) == np.inf
        assert autoinit.iterations(0.5 / variance, gain) <= 43 < autoinit.iterations(0.1 / variance, gain)
        scale = autoinit.autoinit_step(1.0, autoinit.one_step_rate(gain), gain)
        assert scale**2 * gain == pytest.approx(1, abs=1e-12)

    def test_rates_of_members(self) -> None:
        def rate(rule: str, **more: float) -> float | None:
            return rate_of(Member({"start": 8.0, "rule": rule, **more}, 0))

        assert (
            rate("newton") is None and rate("log") == rate("square") == 0.5 / 8 and rate("log", factor=0.1) == 0.1 / 8
        )
        assert rate("one step") == autoinit.one_step_rate(4.0)
        assert rate("square, own rate") == autoinit.largest_square_rate(4.0) / 2 < 0.5 / 8

    def test_tuned_network(self) -> None:
        member = {"width": 32, "depth": 4, "samples": 32, "probes": 4, "steps": 20, "stop": 0.05}
        ends = []
        for start in (0.5, 8.0):
            found = tuned_network(Member({**member, "start": start, "rule": "newton"}, 0), streams(0))
            assert found["steps"] == found["mean_steps"] == 1 and found["before"].shape == (4,)
            ends.append(found["scale"])
        np.testing.assert_allclose(ends[0], ends[1], rtol=1e-3)
        square = tuned_network(Member({**member, "start": 8.0, "rule": "square"}, 0), streams(0))
        assert square["steps"] == square["landed"] == np.inf
        fine = {**member, "start": 8.0, "rule": "log", "stop": 1e-4}
        log = tuned_network(Member(fine, 0), streams(0))
        assert 1 < log["mean_steps"] <= log["steps"] < log["fine_steps"] <= 12 and log["landed"] > 0.5
        other = tuned_network(Member({**fine, "draw": "another"}, 0), streams(0))
        assert np.abs(np.log(other["scale"] / log["scale"])).max() > 0.01

    def test_rank_correlation_with_depth(self) -> None:
        scales = xr.DataArray([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]], dims=("seed", "block"))
        assert falls(scales).tolist() == pytest.approx([-1.0, 1.0])


def test_a_tiny_run_has_a_verdict_on_every_claim_and_draws_every_figure(tmp_path: Path) -> None:
    results = lab.run("autoinit", out=tmp_path / "run", device="cpu", **TINY)
    check_results(results)
    shown = {name for figure in results.figures() for name in figure.claims}
    assert shown == {claim.id for claim in STUDY.claims(results.settings)} - {"deep-same"}
    for figure in results.figures():
        assert png(figure, 40)[:4] == b"\x89PNG"


def test_paper_scale_has_the_papers_data_and_no_more_depth_than_images_allow() -> None:
    paper = STUDY.scales["paper"]
    assert paper.images and paper.side // 2 ** paper.plan.count(0) >= 1
    with pytest.raises(BadInput, match="fashion"):
        STUDY.experiments(paper)
