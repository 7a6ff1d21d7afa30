"""Networks trained on labels that are partly wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from xarray import Dataset

from phasescope.ensemble import last, train
from phasescope.instruments import CORRUPTION, LEARNING
from phasescope.instruments.neuron_pruning import pruning
from phasescope.learners import PowerMLP
from phasescope.papers.statement import Compared, at_least, at_most, near, statement
from phasescope.tasks import addition
from phasescope.theory.label_corruption import full_inversion_accuracy
from phasescope.verdict import Source
from phasescope.vocabulary import Grid, Recipe

PRUNED = (0.0, 0.4)
DOSHI = "Doshi, Das, He and Gromov 2023, arXiv:2310.13061"


@cache
def trained() -> Dataset:
    """Return networks trained on n + m modulo 31 with a fifth of the labels drawn anew, weight decay 0 and 12."""
    task = addition(31, train_fraction=0.8, corruption=0.2)
    grid, recipe = Grid({"weight_decay": [0.0, 12.0]}, seeds=1), Recipe(steps=300, lr=0.01, records=4)
    read = [pruning(order="lowest", shares=PRUNED), pruning(order="highest", shares=PRUNED)]
    return train(PowerMLP(31, 120), task, grid, recipe, [*LEARNING, *CORRUPTION], at_end=read, engine="looped")


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
    data = trained()
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


@statement(
    "000-07",
    "Neurons that are not periodic hold the wrong labels: without them the network forgets these and generalizes on",
    Source(
        paper=f"{DOSHI}, Sec. 2.1 and Fig. 6: pruning by the inverse participation ratio",
        ours="two fifths of the neurons of one network: the study has the curves",
        tolerance="a third of the wrong labels, far from what the other order shows",
    ),
)
def pruned_by_periodicity() -> Iterator[Compared]:
    """The network without weight decay, without the two fifths of lowest, then of highest participation ratio."""
    data = trained().isel(weight_decay=0, seed=0)
    low, high = data.pruned_lowest_participation, data.pruned_highest_participation
    where = {"pruned": 0.4}
    least = low.sel(accuracy="corrupted", **where)
    yield at_most("without the least periodic: wrong labels answered as given", least, 0.6, trained=True)
    yield at_least("without the least periodic: test accuracy", low.sel(accuracy="test", **where), 0.85, trained=True)
    yield at_most("without the most periodic: test accuracy", high.sel(accuracy="test", **where), 0.5, trained=True)
