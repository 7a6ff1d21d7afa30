"""Cross-entropy at large margins: what is read keeps its digits, and what softmax absorbs is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch.nn import functional

import phasescope as ps
from laws import instrument_laws as laws
from phasescope.ensemble import reading
from phasescope.ensemble.losses import Loss
from phasescope.ensemble.reading import finite, read_losses
from phasescope.instruments import LEARNING
from phasescope.instruments.logits import softmax_collapse
from phasescope.vocabulary import Grid, Reading, Recipe, Subject


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_losses_that_are_read_keep_their_digits_at_every_margin(dtype: torch.dtype) -> None:
    """Against mpmath with 50 digits, for the very logits; -1e5 is a wrong answer that is sure of itself."""
    margins = np.array([0, 1e-3, 1, 10, 16.5, 17, 36, 38, 100, 300, 690, -5, -300, -1e5])
    for classes in (2, 5, 97):
        logits = np.random.default_rng(classes).normal(size=(len(margins), classes))
        logits[:, 1] = logits.max(1) + margins
        seen = torch.tensor(logits, dtype=dtype)
        found = read_losses(seen[None], torch.ones(1, len(margins), dtype=torch.int32), Loss("cross_entropy"))[0]
        assert found.dtype == torch.float64
        with mpmath.workdps(50):
            for row, loss in zip(seen.double().tolist(), found.tolist(), strict=True):
                others = [mpmath.exp(mpmath.mpf(z) - mpmath.mpf(row[1])) for k, z in enumerate(row) if k != 1]
                exact = mpmath.log1p(mpmath.fsum(others))
                assert abs(mpmath.mpf(loss) / exact - 1) < 1e-12
    one = read_losses(torch.zeros(1, 3, 1), torch.zeros(1, 3, dtype=torch.int32), Loss("cross_entropy"))
    assert one.tolist() == [[0, 0, 0]]  # of one class there is nothing to be learnt


def test_losses_are_read_network_by_network_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    g = np.random.default_rng(0)
    logits, labels = torch.from_numpy(g.normal(size=(5, 7, 3))), torch.from_numpy(g.integers(0, 3, (5, 7)))
    whole = read_losses(logits, labels, Loss("cross_entropy"))
    monkeypatch.setattr(reading, "MOST_LOGITS", 45)
    torch.testing.assert_close(read_losses(logits, labels, Loss("cross_entropy")), whole, rtol=1e-14, atol=0)


def test_an_answer_that_is_not_finite_has_the_loss_that_torch_gives_it() -> None:
    inf, nan = torch.inf, torch.nan
    rows = [[1, inf, 0], [inf, 0, 0], [0, -inf, -inf], [nan, 0, 0], [0, nan, 0], [-inf, 0, 0]]
    logits, labels = torch.tensor([rows]), torch.zeros(1, len(rows), dtype=torch.int32)
    expected = functional.cross_entropy(logits[0], labels[0].long(), reduction="none")
    torch.testing.assert_close(read_losses(logits, labels, Loss("cross_entropy"))[0].float(), expected, equal_nan=True)


def test_a_loss_beyond_float32_has_diverged_there() -> None:
    seen = replace(laws.hand_made(), sample_losses=lambda: torch.full((1, 4), 6e38, dtype=torch.float64))
    assert not finite(replace(seen, weights=seen.weights.float()))[0]
    assert finite(replace(seen, weights=seen.weights.double()))[0]


def answering(logits: Any, **changes: Any) -> Subject:
    """Four samples with the label 0, the first two in training with the weights 1 and 3."""
    found = torch.as_tensor(logits)
    seen = replace(laws.hand_made(), labels=torch.zeros(1, 4, dtype=torch.int32), loss="cross_entropy")
    return replace(seen, logits=lambda: found, **changes)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float32, 24), (torch.float64, 53)], ids=str)
def test_one_other_class_is_absorbed_beyond_the_last_bit(dtype: torch.dtype, bits: int) -> None:
    """1 + exp(-margin) is rounded to 1 for margins above (bits) log 2: 16.6 in float32 and 36.7 in float64."""
    edge = bits * np.log(2)
    for first, second, share in ((-0.01, -0.01, 0), (-0.01, 0.01, 3 / 4), (0.01, -0.01, 1 / 4), (0.01, 0.01, 1)):
        logits = torch.zeros(1, 4, 2, dtype=dtype)
        logits[0, :, 0] = torch.tensor([edge + first, edge + second, 0, 900])
        assert softmax_collapse(answering(logits)).value.tolist() == [share]


def test_collapse_is_of_cross_entropy_and_of_finite_answers() -> None:
    sure = torch.zeros(1, 4, 2)
    sure[..., 0] = 900

    def missing(found: Reading) -> bool:
        return found.valid is not None and not found.valid.any()

    assert softmax_collapse(answering(sure)).value.item() == 1
    assert missing(softmax_collapse(answering(sure, loss="mse")))
    assert missing(softmax_collapse(answering(sure[..., :1])))  # one class has no other
    assert missing(softmax_collapse(answering(sure.index_fill(1, torch.tensor([1]), torch.nan))))
    assert softmax_collapse(answering(sure.index_fill(1, torch.tensor([3]), torch.nan))).value.item() == 1
    wrong = sure.flip(-1)
    assert softmax_collapse(answering(wrong)).value.item() == 0


@pytest.mark.parametrize("engine", ["fused", "stacked"])
def test_training_that_stalls_is_seen(engine: Any) -> None:
    """Without weight decay float32 absorbs every sample in the end; the loss that is read goes on falling to there."""
    recipe = Recipe(lr=0.05, steps=600, records=30, loss="cross_entropy")
    watch = (*LEARNING, softmax_collapse)
    data = ps.train(ps.learners.PowerMLP(5, 16), ps.tasks.addition(5), Grid(), recipe, watch, engine=engine)
    run = data.isel(seed=0)
    assert run.softmax_collapse[0] == 0 and run.softmax_collapse[-1] == 1
    assert 0 < run.train_loss[-1] < 2**-24 and (run.train_loss > 0).all()
    # at most 1 - mean / 2^-24 of the samples can be above the resolution: Markov's inequality
    assert (run.softmax_collapse >= 1 - run.train_loss * 2**24 - 1e-3).all()
