"""The study ``model-collapse``: its theory, the loop that takes any model, its worlds and its claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import phasescope as ps
from phasescope import lab
from phasescope.ensemble import feedback_loop, streams
from phasescope.lab import study_named
from phasescope.studies.model_collapse import models, worlds
from phasescope.studies.model_collapse.settings import SCALES
from phasescope.testing import check_results
from phasescope.theory import model_collapse
from phasescope.vocabulary import BadInput, Member

STUDY = study_named("model-collapse")
TINY: dict[str, Any] = {
    "inputs": 3, "samples": 12, "fits": 5, "chains": 40, "subsamples": 20, "subsample_chains": 5, "gaussian_fits": 5,
    "gaussian_chains": 50, "pooled_chains": 50, "text_rows": 3, "text_fits": 3, "deep_seeds": 2, "image_fits": 3,
    "image_steps": 3, "diffusion_fits": 2, "diffusion_steps": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lab.run("model-collapse", out=tmp_path_factory.mktemp("collapse") / "run", seeds=2, settings=TINY)


def measured(world: Any, seed: int = 0, **knobs: Any) -> Any:
    return world(Member(knobs, seed), streams(seed))


# -- theory ----------------------------------------------------------------------------------------------------


def test_published_values() -> None:
    assert model_collapse.first_error(1.0, 10, 50) == pytest.approx(10 / 39)
    assert model_collapse.first_error(2.5, 5, 7) == pytest.approx(2.5 * 5)  # T = d + 2: s^2 d
    sums = model_collapse.error_growth("accumulate", 20)[[0, 1, 4, 9, 19]]
    np.testing.assert_allclose(sums, [1, 1.25, 1.464, 1.55, 1.596], atol=5e-4)
    assert model_collapse.error_growth("accumulate", 100_000)[-1] == pytest.approx(
        model_collapse.ACCUMULATION_BOUND, abs=1.1e-5
    )
    assert model_collapse.gaussian_variances("replace", 50, 50)[-1] == pytest.approx(0.364, abs=5e-4)
    assert model_collapse.gaussian_variances("accumulate", 3000, 10)[-1] == pytest.approx(
        model_collapse.gaussian_limit(10), rel=1e-4
    )


def test_subsampling_by_hand() -> None:
    """n = 2: half of the points have labels of fit 1, a quarter of its error; noise 1; half of fit 1's noise again."""
    np.testing.assert_allclose(model_collapse.error_growth("subsample", 2), [1, 0.25 + 1 + 2 * 0.5 * 0.5])
    growth = model_collapse.error_growth("subsample", 200)
    assert (np.diff(growth) > 0).all() and (growth[1:] > model_collapse.error_growth("accumulate", 200)[1:]).all()
    assert growth[-1] < 3


def test_subsampling_simulated_in_its_limit() -> None:
    """A second route: means of T unit noises stand for the fits, exact in the limit T >> d."""
    draw, T, chains, fits = streams(0)("x"), 400, 300, 6
    points, found, error = np.empty((chains, 0)), [], np.zeros((chains, 1))
    for _ in range(fits):
        points = np.concatenate([points, error + draw.standard_normal((chains, T))], axis=1)
        error = np.stack([draw.choice(row, T, replace=False).mean() for row in points])[:, None]
        found.append(T * (error**2).mean())
    expected = model_collapse.error_growth("subsample", fits)
    assert np.abs(found / expected - 1).max() < 5 * np.sqrt(2 / chains)


def test_the_variances_are_what_the_recursion_by_hand_says() -> None:
    n = np.arange(1, 31)
    np.testing.assert_allclose(model_collapse.gaussian_variances("accumulate", 30, 7), np.cumprod(1 - 1 / (7 * n**2)))
    np.testing.assert_allclose(model_collapse.gaussian_variances("replace", 30, 7), (1 - 1 / 7) ** n)
    far = model_collapse.density_variances("replace", 5000, 20, 0.1)[-1]
    assert far == pytest.approx(19 * 0.1, rel=1e-6)  # the fixed point (T - 1) h^2
    slow = model_collapse.density_variances("accumulate", 4000, 20, 0.1)
    assert (slow[3999] - slow[999]) / np.log(4) == pytest.approx(0.1, rel=0.01)  # h^2 log n


REFUSED = {
    "samples is 11 with 10 inputs: the error is finite for T >= d .* 12": lambda: model_collapse.first_error(
        1.0, 10, 11
    ),
    "variance is 0": lambda: model_collapse.first_error(0.0, 10, 20),
    "inputs is 0": lambda: model_collapse.first_error(1.0, 0, 20),
    "fits is 0": lambda: model_collapse.error_growth("replace", 0),
    "policy is 'forget'": lambda: model_collapse.error_growth("forget", 3),  # type: ignore[arg-type]
    "policy is 'subsample'": lambda: model_collapse.gaussian_variances("subsample", 3, 10),
    "samples is 1": lambda: model_collapse.typical_variances(3, 1),
    "square_bandwidth is -1": lambda: model_collapse.density_variances("replace", 3, 10, -1.0),
}


@pytest.mark.parametrize("words", REFUSED)
def test_outside_the_domain_is_refused_by_name(words: str) -> None:
    with pytest.raises(BadInput, match=words):
        REFUSED[words]()


# -- the loop --------------------------------------------------------------------------------------------------


def remember(data: Any, generator: Any) -> Any:
    return data


def count_up(model: Any, count: int, generator: Any) -> Any:
    return np.full(count, model.max() + 1)


@pytest.mark.parametrize(
    ("policy", "seen"),
    [("replace", [2, 2]), ("accumulate", [0, 0, 1, 1, 2, 2]), ("synthetic", [1, 1, 2, 2])],
)
def test_what_a_fit_sees(policy: Any, seen: list[int]) -> None:
    assert feedback_loop(remember, count_up, np.zeros(2), policy, fits=3).data.tolist() == seen
    assert feedback_loop(remember, count_up, np.zeros(2), policy, fits=1).data.tolist() == [0, 0]


def test_subsamples_are_drawn_without_replacement_from_all() -> None:
    fresh = {"next": 0}

    def sample(model: Any, count: int, generator: Any) -> Any:
        fresh["next"] += count
        return np.arange(fresh["next"], fresh["next"] + count)

    found = feedback_loop(remember, sample, np.arange(50), "subsample", fits=4).data
    assert len(found) == len(set(found.tolist())) == 50
    assert {int(v) // 50 for v in found} == {0, 1, 2, 3}


def test_the_loop_is_public_and_made_again_from_its_seed() -> None:
    def fit(data: Any, generator: Any) -> Any:
        return data.mean(), data.std()

    def sample(model: Any, count: int, generator: Any) -> Any:
        return generator.normal(*model, count)

    def run(seed: int) -> Any:
        real = np.arange(9.0)
        return ps.feedback_loop(fit, sample, real, fits=4, measure=lambda m: {"s": m[1], "both": m}, generators=seed)

    once, again, other = run(1), run(1), run(2)
    assert once.readings.identical(again.readings) and not once.readings.identical(other.readings)
    assert once.readings.both.shape == (4, 2) and once.model == again.model


def test_what_the_loop_refuses() -> None:
    with pytest.raises(BadInput, match="did you mean 'accumulate'"):
        feedback_loop(remember, count_up, np.zeros(2), "acumulate")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"sampled an array of shape \(3,\)"):
        feedback_loop(remember, lambda m, n, g: np.zeros(3), np.zeros(2), fits=2)
    for real, fits in ((np.zeros(0), 2), (np.float64(1), 2), (np.zeros(3), 0)):
        with pytest.raises(BadInput, match="at least one fit, and one row"):
            feedback_loop(remember, count_up, real, fits=fits)


# -- worlds against theory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["replace", "accumulate"])
def test_linear_models_follow_the_theorem(policy: Any) -> None:
    """One design: exact. 2,000 chains; at each fit within five standard errors (relative sd of one chain about 0.6)."""
    knobs = {"inputs": 6, "samples": 40, "chains": 2000, "variance": 1.5, "policy": policy, "fits": 8}
    known = model_collapse.linear_errors(policy, 8, 1.5, 6, 40)
    for design in ("same", "fresh"):
        found = measured(worlds.linear, design=design, **knobs)["error"]
        if design == "fresh" and policy == "accumulate":
            assert (found[1:] < known[1:]).all()
        else:
            np.testing.assert_allclose(found, known, rtol=5 * 0.65 / np.sqrt(2000))


@pytest.mark.parametrize("design", ["same", "fresh"])
def test_errors_are_proportional_to_the_noise_variance(design: str) -> None:
    """Draw by draw: the labels are linear in their noise, and so are the weights."""
    knobs = {"inputs": 3, "samples": 9, "chains": 5, "policy": "accumulate", "design": design, "fits": 4}
    once, twice = (measured(worlds.linear, variance=variance, **knobs)["error"] for variance in (1.0, 2.0))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-9)


def test_the_sums_are_the_fits_of_the_public_loop() -> None:
    """The fast world keeps X'X and X'y; the loop keeps every row. Same law, fresh designs, accumulated."""
    fast = measured(worlds.linear, inputs=4, samples=20, chains=3000, variance=1.0, design="fresh",
                    policy="accumulate", fits=5)["error"]  # fmt: skip
    real = worlds.regression_samples(np.zeros((3000, 4)), 20, streams(5)("real"))
    slow = feedback_loop(
        worlds.least_squares, worlds.regression_samples, real, "accumulate", fits=5,
        measure=lambda w: {"error": (w**2).sum(1).mean()}, generators=5,
    ).readings.error.values  # fmt: skip
    np.testing.assert_allclose(fast, slow, rtol=7 * 0.8 / np.sqrt(3000))


@pytest.mark.parametrize("policy", ["replace", "accumulate"])
@pytest.mark.parametrize("square_bandwidth", [0.0, 0.2])
def test_variances_follow_theory(policy: Any, square_bandwidth: float) -> None:
    knobs = {"samples": 10, "chains": 8000, "fits": 6, "policy": policy, "square_bandwidth": square_bandwidth}
    found = measured(worlds.gaussian, **knobs)
    np.testing.assert_allclose(
        found["variance"],
        model_collapse.density_variances(policy, 6, 10, square_bandwidth),
        rtol=5 * 1.5 / np.sqrt(8000),
    )
    if policy == "replace" and square_bandwidth == 0:
        np.testing.assert_allclose(found["typical"], model_collapse.typical_variances(6, 10), rtol=0.06)


# -- generative models ---------------------------------------------------------------------------------------------


def test_trigrams_are_counts_and_sample_what_they_say() -> None:
    rows = np.zeros((1, models.ROW), np.int8)
    rows[0, 2::3] = 1
    rows[0, 1::3] = 2
    model = models.fit_trigrams(rows, streams(0)("x"), add=1e-9)
    assert model[0, 2, 1] == pytest.approx(1) and model[2, 1, 0] == pytest.approx(1)
    np.testing.assert_allclose(model.sum(-1), 1)
    again = models.sample_trigrams(model, 3, streams(0)("y"))
    assert again.shape == (3, models.ROW) and again.max() < len(models.ALPHABET)
    drawn = models.fit_trigrams(models.sample_trigrams(models.fit_trigrams(again, streams(0)("x"), 1.0), 400,
                                                       streams(0)("z")), streams(0)("x"))  # fmt: skip
    assert drawn[5, 6].sum() == pytest.approx(1)


def test_text_is_real_and_split_without_overlap(tmp_path: Any) -> None:
    train, test = models.rows_of_text("", 20, streams(0)("data"))
    assert train.shape == test.shape == (20, models.ROW)
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}
    letters = np.bincount(models.symbols(""), minlength=30) / len(models.symbols(""))
    assert letters[models.ALPHABET.index("e")] > 0.05 > letters[models.ALPHABET.index("z")]
    file = tmp_path / "own.txt"
    file.write_text("Some WORDS, 123 more words.\n" * 50)
    assert "".join(models.ALPHABET[i] for i in models.symbols(str(file))[:17]) == "some words, more "
    with pytest.raises(BadInput, match="give fewer tokens"):
        models.rows_of_text(str(file), 5, streams(0)("data"))
    with pytest.raises(BadInput, match="path of a plain text file"):
        models.symbols(str(tmp_path / "none.txt"))


def test_the_bound_of_the_autoencoder_is_a_bound() -> None:
    """Averaged over draws, -ELBO is at least -log p(x) by importance sampling with many draws."""
    network = models.Autoencoder()
    models.initialized(network, streams(0)("init"))
    pixels = torch.from_numpy(models.digits(streams(0)("data"))[0][:3])
    draws = models.noise(streams(0)("z"), 4000, 8)
    with torch.no_grad():
        losses = torch.stack([network.bound(row.expand(4000, -1), draws) for row in pixels])
        mean, log_variance = network.encoder(pixels).chunk(2, -1)
        z = mean[:, None] + (log_variance / 2).exp()[:, None] * draws
        fit = -torch.nn.functional.binary_cross_entropy_with_logits(
            network.decoder(z), pixels[:, None].expand(-1, 4000, -1), reduction="none"
        ).sum(-1)
        ratio = fit - z.square().sum(-1) / 2 + draws.square().sum(-1) / 2 + log_variance.sum(-1)[:, None] / 2
        evidence = ratio.logsumexp(1) - np.log(4000)
    assert (losses.mean(1) >= -evidence - 1e-3).all()
    torch.testing.assert_close(losses.mean(1), -ratio.mean(1), rtol=0.02, atol=0.1)


def test_the_diffusion_schedule_falls_from_one() -> None:
    kept = models.schedule()
    assert kept[0] == 1 and kept[-1] <= 1e-3 and (kept.diff() < 0).all()


# -- the study -------------------------------------------------------------------------------------------------


def test_its_results_obey_the_laws(results: Any) -> None:
    check_results(results)


def test_what_another_scale_costs_is_told_without_running_it() -> None:
    """One member at the paper's scale may take an hour: each simulation that grows with the scale names its work."""
    pocket, paper = (STUDY.experiments(SCALES[scale]) for scale in ("pocket", "paper"))
    grown = [name for name, e in paper.items() if e.fixed != pocket[name].fixed]
    assert grown and all(paper[name].work >= pocket[name].work > 0 for name in grown)
