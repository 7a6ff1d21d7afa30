"""Networks trained on labels that are partly wrong."""

from __future__ import annotations

from collections.abc import Iterator

from phasescope.ensemble import last, train
from phasescope.instruments import CORRUPTION, LEARNING
from phasescope.learners import PowerMLP
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.tasks import addition
from phasescope.theory.label_corruption import full_inversion_accuracy
from phasescope.verdict import Source
from phasescope.vocabulary import Grid, Recipe

DOSHI = "Doshi, Das, He and Gromov 2023, arXiv:2310.13061"


@statement(
    "000-07",
    "A network memorizes wrong labels and generalizes all the same; with weight decay it answers the truth instead",
    Source(
        paper=f"{DOSHI}, Fig. 1 and Table 2: coexistence and full inversion",
        ours="p = 31, width 120, one network: the study has the paper's sizes",
        tolerance="far outside of what the other phase shows",
    ),
)
def coexistence_and_inversion() -> Iterator[Compared]:
    """A fifth of the training labels of n + m modulo 31 drawn anew; AdamW with weight decay 0 and 12."""
    task = addition(31, train_fraction=0.8, corruption=0.2)
    grid, recipe = Grid({"weight_decay": [0.0, 12.0]}, seeds=1), Recipe(steps=300, lr=0.01, records=4)
    data = train(PowerMLP(31, 120), task, grid, recipe, [*LEARNING, *CORRUPTION], engine="looped")
    ends = {str(name): last(data[name])[:, 0].values for name in data if str(name).endswith("accuracy")}
    plain, decayed = ({name: float(values[at]) for name, values in ends.items()} for at in (0, 1))
    yield at_least("no decay: wrong labels that are answered as given", plain["corrupted_accuracy"], 0.9, trained=True)
    yield at_least("no decay: test accuracy", plain["test_accuracy"], 0.85, trained=True)
    yield at_least("decay 12: wrong labels answered with the truth", decayed["corrected_accuracy"], 0.9, trained=True)
    yield at_most("decay 12: wrong labels that are answered as given", decayed["corrupted_accuracy"], 0.3, trained=True)
    yield at_least("decay 12: test accuracy", decayed["test_accuracy"], 0.95, trained=True)
    expected = float(full_inversion_accuracy(0.2, 31))
    over = decayed["train_accuracy"] - expected
    yield at_most("decay 12: training accuracy over that of the truth", over, 0.04, trained=True)
    yield near("training accuracy of the truth, in theory", expected, 1 - 0.2 * 30 / 31, 1e-12)
