"""Wrong labels: what instruments say of them, pruning, the phases, and the deeper networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import instrument_laws as laws
from phasescope.ensemble import last, measure, streams, train
from phasescope.ensemble.reading import read, subject
from phasescope.instruments import CORRUPTION, LEARNING, fourier, norms
from phasescope.instruments import logits as answers
from phasescope.instruments.corruption import accidental_share, corrupted_accuracy, uncorrupted_accuracy
from phasescope.instruments.fourier import participation
from phasescope.instruments.neuron_pruning import pruning
from phasescope.learners import DeepMLP, ExactMLP, OneLayerTransformer, PowerMLP
from phasescope.subjects import public
from phasescope.tasks import addition
from phasescope.testing import instruments as general
from phasescope.theory import label_corruption, modular_addition
from phasescope.theory.label_corruption import PHASES, corruption_phase
from phasescope.vocabulary import BadInput, Grid, Instrument, Member, Recipe, Subject

SHARES = (0.0, 0.3, 1.0)
ORDERS = ("lowest", "highest", "random")
share = st.floats(0, 1)
accuracy = st.one_of(st.floats(0, 1), st.just(float("nan")))


READINGS = public("phasescope.instruments")

# -- instruments ----------------------------------------------------------------------------------------------------------


def answered(logits: Any, labels: Any, truth: Any, corrupted: Any, weights: Any = (1, 1, 1, 1, 1)) -> Subject:
    """One network's answers on five samples of three classes; the last one is the test sample."""
    seen = laws.hand_made()
    table = {"logits": logits, "labels": labels, "truth": truth, "corrupted": corrupted, "weights": weights}
    made = {name: torch.tensor([value]) for name, value in table.items()}
    train = torch.tensor([[True, True, True, True, False]])
    out = made.pop("logits").double()
    made["weights"] = made["weights"].double()
    return replace(seen, **made, train=train, test=~train, logits=lambda: out, answers=lambda changed: out)


def example(**changes: Any) -> Subject:
    """Row 0 clean and right; 1 answered as given, 2 as true, 3 corrupted to what it was and answered so."""
    made: dict[str, Any] = {
        "logits": [[3.0, 1.0, 0.0], [0.0, 5.0, 2.0], [4.0, 0.5, 1.0], [0.0, 0.0, 9.0], [0.0, 1.0, 0.0]],
        "labels": [0, 1, 2, 2, 0],
        "truth": [0, 2, 0, 2, 0],
        "corrupted": [False, True, True, True, False],
        **changes,
    }
    return answered(**made)


BY_HAND = {
    "corrupted_accuracy": 2 / 3,
    "corrected_accuracy": 2 / 3,
    "uncorrupted_accuracy": 1.0,
    "accidental_share": 1 / 3,
    "given_logit": (5.0 + 1.0) / 2,  # the accidentally right row has no wrong label
    "true_logit": (2.0 + 4.0) / 2,
    "train_accuracy": 3 / 4,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_readings_of_wrong_labels_by_hand(name: str) -> None:
    law_by_hand(READINGS[name])


def law_by_hand(instrument: Instrument) -> None:
    value = instrument(example()).value.item()
    assert value == pytest.approx(BY_HAND[instrument.name], abs=1e-12), f"{instrument.name}: {value}"


def law_weights_count(instrument: Instrument, expected: float) -> None:
    value = instrument(example(weights=[7, 1, 2, 5, 3])).value.item()
    assert value == pytest.approx(expected, abs=1e-12), f"{instrument.name}: {value}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("corrupted_accuracy", 6 / 8), ("corrected_accuracy", 7 / 8), ("accidental_share", 5 / 8), ("given_logit", 7 / 3)],
)
def test_weights_count(name: str, expected: float) -> None:
    law_weights_count(READINGS[name], expected)


def test_without_corrupted_samples_there_is_no_reading() -> None:
    seen = example(labels=[0, 2, 0, 2, 0], corrupted=[False] * 5)
    names = ("corrupted_accuracy", "corrected_accuracy", "accidental_share", "given_logit", "true_logit")
    found = read([READINGS[name] for name in (*names, "uncorrupted_accuracy")], seen)
    assert all(np.isnan(found[name]).all() for name in names)
    assert found["uncorrupted_accuracy"].item() == 0.75
    everything = read([uncorrupted_accuracy], example(corrupted=[True] * 4 + [False]))
    assert np.isnan(everything["uncorrupted_accuracy"]).all()


def test_targets_of_real_numbers_have_no_accuracy() -> None:
    hot = torch.eye(3, dtype=torch.float64)
    seen = example()
    real = replace(seen, labels=hot[seen.labels], truth=hot[seen.truth])
    for instrument in (answers.train_accuracy, answers.test_accuracy, answers.table_accuracy):
        found = instrument(real)
        assert found.valid is not None and not found.valid.any() and found.value.isnan().all()


def law_parts(uncorrupted: Instrument, corruption: float = 0.5, seed: int = 0) -> None:
    """Of c corrupted and n - c other training samples: n train = c corrupted + (n - c) uncorrupted."""
    task, watch = addition(7, corruption=corruption), (*LEARNING, corrupted_accuracy, uncorrupted)
    data = measure(PowerMLP(7, 8), task, Grid(seeds=[seed]), watch)
    n = task.train_count(Member({}, seed))
    c = int(np.floor(round(corruption * n, 6)))
    parts = np.nan_to_num(data.corrupted_accuracy) * c + np.nan_to_num(data.uncorrupted_accuracy) * (n - c)
    assert data.train_accuracy.item() * n == pytest.approx(parts.item(), abs=1e-6)


def law_parts_over_seeds(uncorrupted: Instrument) -> None:
    for seed in range(8):
        law_parts(uncorrupted, seed=seed)


@given(corruption=share, seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_training_accuracy_is_the_mean_of_its_parts(corruption: float, seed: int) -> None:
    law_parts(uncorrupted_accuracy, corruption, seed)


def test_corrupting_nothing_is_the_identity() -> None:
    clean, none = (addition(13, **kind).draw(Member({}, 4), streams(4)) for kind in ({}, {"corruption": 0.0}))
    assert (clean.labels == none.labels).all() and (clean.train == none.train).all() and len(none.corrupted) == 0


def test_one_label_of_p_is_right_by_accident() -> None:
    """Uniform over all p classes: the mean over 40 draws within 4 standard errors of 1/p."""
    p, draws = 23, 40
    data = measure(PowerMLP(p, 2), addition(p, corruption=0.7), Grid(seeds=draws), (accidental_share,))
    rows = int(0.7 * addition(p).train_count(Member({}, 0)))
    error = np.sqrt(1 / p * (1 - 1 / p) / (rows * draws))
    assert abs(float(data.accidental_share.mean()) - 1 / p) < 4 * error


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_share_of_labels_lies_between_0_and_1(value: float) -> None:
    with pytest.raises(BadInput, match=r"corruption is .*: it must lie in \[0, 1\]"):
        addition(11, corruption=value)
    with pytest.raises(BadInput, match=r"corruption has the entry .*: give finite numbers"):
        label_corruption.full_inversion_accuracy(value, 11)


# -- the weights of batch normalization -----------------------------------------------------------------------------------


def normed(seed: int = 0) -> Subject:
    """Three networks with batch normalization, weights and statistics at random."""
    chosen, g = laws.case(seed), np.random.default_rng(seed + 50)
    module = PowerMLP(laws.P, laws.H, batch_norm=True).double()
    extra = {f"norm.{name}": torch.from_numpy(g.normal(size=(laws.B, laws.H))) for name in ("weight", "bias")}
    state = {name: b.expand(laws.B, *b.shape).clone() for name, b in module.named_buffers()}
    return subject(module, {**chosen.parameters, **extra}, state, chosen.data, "mse")


def law_correlation(instrument: Instrument) -> None:
    """What numpy's own correlation of |gamma| and the participation ratio is, in (-1, 1), blind to the sign of gamma."""
    seen = normed()
    ratio, gamma = participation(seen).value.numpy(), seen.parameters["norm.weight"].abs().numpy()
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(ratio, gamma, strict=True)]
    assert np.allclose(instrument(seen).value.numpy(), expected, atol=1e-12)
    turned = replace(seen, parameters={**seen.parameters, "norm.weight": -seen.parameters["norm.weight"]})
    assert np.allclose(instrument(turned).value.numpy(), expected, atol=1e-12)


def test_norm_correlation() -> None:
    law_correlation(norms.norm_correlation)


def test_norm_readings_say_where_they_can_not_answer() -> None:
    """No batch normalization: nothing. Weights all alike, as before training: a scale, but no correlation."""
    both = [norms.norm_scale, norms.norm_correlation]
    bare = read(both, laws.case().subject())
    assert np.isnan(bare["norm_scale"]).all() and np.isnan(bare["norm_correlation"]).all()
    seen = normed()
    alike = replace(seen, parameters={**seen.parameters, "norm.weight": torch.ones(laws.B, laws.H)})
    found = read(both, alike)
    assert (found["norm_scale"] == 1).all() and np.isnan(found["norm_correlation"]).all()


def test_embed_participation_leaves_out_the_readout() -> None:
    p, k = 11, np.array([1, 2, 3])
    embed = np.stack([laws.waves(p, k, 0.3), laws.waves(p, k, 1.0)])
    noise = np.random.default_rng(0).standard_normal((p, 3))
    seen = laws.weights_only(embed, noise)
    assert np.allclose(fourier.embed_participation(seen).value.numpy(), 1, atol=1e-12)
    assert (participation(seen).value.numpy() < 0.9).all()
    with pytest.raises(BadInput, match="needs 'embed'"):
        fourier.embed_participation(laws.hand_made())


# -- pruning --------------------------------------------------------------------------------------------------------------


def literal_pruning(seen: Subject, b: int, order: str, share: float) -> np.ndarray[Any, Any]:
    """Four accuracies of member ``b``, its neurons taken out one by one in numpy."""
    ratio = participation(seen).value.numpy()[b]
    places = {"lowest": np.argsort(ratio), "highest": np.argsort(-ratio), "random": np.arange(laws.H)}[order]
    gone = set(places[: round(share * laws.H)].tolist())
    embed, readout = (seen.parameters[name].numpy()[b].copy() for name in ("embed", "readout"))
    rows, labels = seen.inputs.numpy()[b], seen.labels.numpy()[b]
    out = np.zeros((laws.N, laws.P))
    for k in sorted(set(range(laws.H)) - gone):
        hidden = (embed[0, rows[:, 0], k] + embed[1, rows[:, 1], k]) ** 2
        out += hidden[:, None] * readout[None, :, k]
    right = out.argmax(1) == labels
    train, test, corrupted = (getattr(seen, name).numpy()[b] for name in ("train", "test", "corrupted"))
    weights = seen.weights.numpy()[b]
    masks = (train, test, train & corrupted, train & ~corrupted)
    return np.array([np.average(right[mask], weights=weights[mask]) for mask in masks])


def law_pruning_is_literal(make: Any) -> None:
    for order in ORDERS:
        for seed in range(3):
            seen = laws.case(seed).subject()
            found = make(participation, order=order, shares=SHARES)(seen).value.numpy()
            for b in range(laws.B):
                expected = np.stack([literal_pruning(seen, b, order, share) for share in SHARES], -1)
                assert np.allclose(found[b], expected, atol=1e-12), f"{order}, member {b}"


def law_pruning_nothing_changes_nothing(make: Any) -> None:
    seen = laws.case(1).subject()
    names = ("train_accuracy", "test_accuracy", "corrupted_accuracy", "uncorrupted_accuracy")
    whole = np.stack([READINGS[name](seen).value.numpy() for name in names], 1)
    for order in ORDERS:
        assert np.allclose(make(participation, order=order, shares=(0.0,))(seen).value.numpy()[..., 0], whole)


def test_pruning_is_what_taking_out_by_hand_gives() -> None:
    law_pruning_is_literal(pruning)


def test_pruning_nothing_changes_nothing() -> None:
    law_pruning_nothing_changes_nothing(pruning)


def test_pruning_everything_leaves_chance() -> None:
    """No neurons, all logits 0: the first class is answered, which is right for 1 of p labels of the whole table."""
    p = 7
    instrument = pruning(participation, shares=(1.0,))
    data = measure(PowerMLP(p, 8), addition(p, train_fraction=0.5), Grid(seeds=4), (instrument,))
    found = data[instrument.name].sel(pruned=1.0)
    n = addition(p).train_count(Member({}, 0))
    table = (found.sel(accuracy="train") * n + found.sel(accuracy="test") * (p * p - n)) / (p * p)
    assert np.allclose(table, 1 / p)


@pytest.mark.parametrize("order", ORDERS)
def test_pruning_obeys_the_laws_of_instruments(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but one: the random order is the order of places, so it can not be blind to the order of neurons."""
    monkeypatch.setattr(general, "SIZES", {**general.SIZES, "accuracy": 4, "pruned": len(SHARES)})
    instrument = pruning(participation, order=order, shares=SHARES)
    for law in laws.LAWS:
        if order != "random" or law is not laws.law_declares_neurons:
            law(instrument)
    assert ("neuron permutation" in instrument.invariances) == (order != "random")


def test_a_pruned_neuron_adds_nothing_under_batch_normalization() -> None:
    """Normalization would give a constant neuron an output of its own: its readout column has to go."""
    seen, k = normed(), 2
    instrument = pruning(norms.norm_scale, shares=(0.0, 1 / laws.H))
    lowest = norms.norm_scale(seen).value.argmin(-1)
    weights = {name: value.clone() for name, value in seen.parameters.items()}
    for b in range(laws.B):
        weights["readout"][b, :, lowest[b]] = 0  # the reference: the readout alone
    right = seen.answers(weights).argmax(-1) == seen.labels
    chosen = seen.weights * seen.test
    expected = (right * chosen).sum(-1) / chosen.sum(-1)
    assert torch.allclose(instrument(seen).value[:, 1, 1], expected)
    moved = {**weights, "embed": weights["embed"].clone()}
    for b in range(laws.B):
        moved["embed"][b, ..., lowest[b]] = 100.0 * k
    assert torch.allclose(seen.answers(weights), seen.answers(moved))


def test_neurons_that_have_no_score_go_first() -> None:
    chosen = laws.case(0)
    dead = chosen.with_parameters(lambda name, v: torch.cat([v[..., :4], torch.zeros_like(v[..., 4:])], -1))
    curve = pruning(participation, shares=(0.0, 2 / laws.H))(dead.subject()).value
    assert torch.equal(curve[..., 0], curve[..., 1])


def test_other_networks_say_where_their_neurons_lie() -> None:
    """A deep network's last hidden neurons are the columns of ``output`` and the rows of its last hidden matrix."""
    neurons = {"output": -1, "hidden": -2}
    instrument = pruning(norms.weight_norm, order="random", shares=(0.0, 1.0), neurons=neurons, name="last")
    data = measure(DeepMLP(7, 8), addition(7), Grid(), (instrument, *LEARNING))
    assert data["last"].sel(pruned=0.0, accuracy="test").item() == pytest.approx(data.test_accuracy.item())
    assert data["last"].sel(pruned=1.0, accuracy="test").item() < 0.5
    with pytest.raises(BadInput, match="none called 'embed'"):
        pruning(participation)(laws.hand_made())


def test_the_curve_of_a_trained_network_can_be_made_again_from_its_final_weights() -> None:
    """Train, prune at the end; then write the final weights down, prune again: the same curve."""
    recipe = Recipe(steps=60, records=4, weight_decay=1.0)
    task = addition(11, train_fraction=0.7, corruption=0.3)
    instrument = pruning(participation, shares=SHARES)
    data = train(PowerMLP(11, 16), task, Grid(seeds=[5]), recipe, LEARNING, at_end=(instrument,))
    kept = tuple(data[f"final.{name}"].values[0] for name in ("embed", "readout"))
    again = measure(ExactMLP(11, 16, lambda p, width, generator: kept), task, Grid(seeds=[5]), (instrument,))
    assert np.allclose(again[instrument.name], data[instrument.name], atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"order": "best"}, "order is 'best': choose one of lowest, highest, random"),
        ({"shares": (0.5, 0.2)}, "each larger than the one before"),
        ({"shares": (0.0, 1.5)}, "a share is 1.5: .* <= 1"),
        ({"score": norms.weight_norm}, "pruning needs a score with dims"),
    ],
)
def test_pruning_refuses(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        pruning(**wrong)


# -- phases ---------------------------------------------------------------------------------------------------------------


def literal_phase(train: float, test: float, xi: float, best: float) -> str:
    """Table 2 of the paper, row by row."""
    if test >= 0.9:
        if train >= 0.9:
            return "coexistence"
        return "partial inversion" if train >= 1.05 - xi else "full inversion"
    if train >= 0.9:
        return "memorization"
    return "forgetting" if best >= 0.9 else "confusion"


def law_phases_are_table_2(classify: Any) -> None:
    points = (0.0, 0.3, 0.6999, 0.75, 0.89, 0.9, 0.95, 1.0, float("nan"))
    for xi in (0.0, 0.1, 0.15, 0.3, 0.35, 1.0):
        train, test, best = np.meshgrid(points, points, points, indexing="ij")
        found = classify(train, test, xi, best)
        assert found.shape == train.shape and found.dtype == np.int64
        for place in np.ndindex(train.shape):
            expected = literal_phase(train[place], test[place], xi, best[place])
            assert PHASES[found[place]] == expected, (train[place], test[place], xi, best[place])


def test_phases_are_table_2() -> None:
    law_phases_are_table_2(corruption_phase)


@given(train=accuracy, test=accuracy, xi=share, best=accuracy)
def test_every_network_has_exactly_one_phase(train: float, test: float, xi: float, best: float) -> None:
    found = corruption_phase(train, test, xi, best)
    assert found.shape == () and 0 <= int(found) < len(PHASES)
    assert PHASES[int(found)] == literal_phase(train, test, xi, best)


def test_the_authors_runs_have_the_phases_that_they_give_them() -> None:
    """Accuracies printed in the authors' notebook, p = 97 (shared facts, 2.6), and the phases of their Fig. 1 and 8."""
    train, test, best = [0.9783, 0.7855, 0.6537, 0.0091], [0.9830, 1.0, 1.0, 0.0108], [0.983, 1, 1, 1]
    found = corruption_phase(train, test, 0.35, best)
    assert [PHASES[i] for i in found] == ["coexistence", "partial inversion", "full inversion", "forgetting"]


def test_no_reading_is_confusion() -> None:
    assert PHASES[int(corruption_phase(np.nan, np.nan, 0.3, np.nan))] == "confusion"


@given(xi=share, train=share)
def test_partial_inversion_needs_more_than_15_percent(xi: float, train: float) -> None:
    found = PHASES[int(corruption_phase(train, 1.0, xi, 1.0))] == "partial inversion"
    assert not found or label_corruption.has_partial_inversion(xi)
    assert bool(label_corruption.has_partial_inversion(xi)) == (1.05 - xi < 0.9)


def law_full_inversion(predict: Any, p: int) -> None:
    """A network that knows the rule answers wrong labels with the truth; over seeds 1/p of them are right anyway."""
    xi = 0.5
    task = addition(p, train_fraction=0.7, corruption=xi)
    data = measure(ExactMLP(p, 400, modular_addition.addition_weights), task, Grid(seeds=24), (*LEARNING, *CORRUPTION))
    assert (data.corrected_accuracy == 1).all() and (data.uncorrupted_accuracy == 1).all()
    rows = task.train_count(Member({}, 0))
    error = np.sqrt(xi / p / rows / 24)
    floored = np.floor(xi * rows) / rows  # so many are drawn again
    assert abs(float(data.train_accuracy.mean()) - predict(floored, p)) < 4 * error


@pytest.mark.parametrize("p", [7, 23])
def test_full_inversion_is_what_the_exact_network_reads(p: int) -> None:
    law_full_inversion(label_corruption.full_inversion_accuracy, p)


def test_the_zero_function_costs_one_over_p() -> None:
    nothing = ExactMLP(11, 3, lambda p, width, generator: (np.zeros((2, p, width)), np.zeros((p, width))))
    data = measure(nothing, addition(11, corruption=0.4), Grid(), LEARNING)
    assert data.train_loss.item() == pytest.approx(label_corruption.zero_function_loss(11), rel=1e-6)
    with pytest.raises(BadInput, match="p is 1"):
        label_corruption.zero_function_loss(1)


# -- deeper networks ------------------------------------------------------------------------------------------------------


def literal_deep(net: DeepMLP, row: Any) -> Any:
    embed, hidden, output = (value.detach().numpy() for value in (net.embed, net.hidden, net.output))
    z = np.maximum(sum(embed[s, n] for s, n in enumerate(row)), 0)
    for matrix in hidden:
        z = np.maximum(matrix @ z, 0)
    return output @ z


def literal_transformer(net: OneLayerTransformer, row: Any) -> Any:
    w = {name: value.detach().numpy() for name, value in net.named_parameters()}
    tokens = [w["embed"][0, n] + w["position"][s] for s, n in enumerate(row)]
    size, mixed = net.width // net.heads, []
    for h in range(net.heads):
        part = slice(h * size, (h + 1) * size)
        query = (w["query"] @ tokens[-1])[part]
        scores = np.array([query @ (w["key"] @ t)[part] for t in tokens]) / np.sqrt(size)
        weights = np.exp(scores) / np.exp(scores).sum()
        mixed.append(sum(a * (w["value"] @ t)[part] for a, t in zip(weights, tokens, strict=True)))
    z = tokens[-1] + w["mix"] @ np.concatenate(mixed)
    z = z + w["narrow"] @ np.maximum(w["widen"] @ z, 0)
    return w["output"] @ z / np.sqrt(net.width)


def made(kind: Any, *sizes: int, **more: int) -> Any:
    net = kind(*sizes, **more).double()
    net.initialize(np.random.default_rng(3))
    return net


NETS = [
    (lambda: made(DeepMLP, 5, 8), literal_deep),
    (lambda: made(DeepMLP, 5, 6, layers=4, arity=3), literal_deep),
    (lambda: made(DeepMLP, 5, 6, layers=2, outputs=4), literal_deep),
    (lambda: made(OneLayerTransformer, 5, 8), literal_transformer),
    (lambda: made(OneLayerTransformer, 5, 6, heads=2, arity=3), literal_transformer),
]


@pytest.mark.parametrize(("make", "literal"), NETS)
def test_deeper_networks_are_the_literal_ones(make: Any, literal: Any) -> None:
    """Against loops in numpy, in training (one-hot products) and in reading (rows looked up)."""
    net = make()
    rows = np.random.default_rng(0).integers(0, 5, (9, net.arity)).astype(np.int32)
    expected = np.stack([literal(net, row) for row in rows])
    for mode in (net.train(), net.eval()):
        assert np.allclose(mode(torch.from_numpy(rows)).detach().numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("make", [net for net, _ in NETS[::3]])
def test_both_ways_to_embed_have_one_gradient(make: Any) -> None:
    net, rows = make(), torch.tensor([[0, 1], [2, 2], [4, 0]])
    found = []
    for mode in (net.train(), net.eval()):
        grads = torch.autograd.grad(mode(rows).square().mean(), list(mode.parameters()), allow_unused=True)
        found.append([g for g in grads if g is not None])
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("net", [DeepMLP(7, 16), OneLayerTransformer(7, 16)], ids=lambda n: type(n).__name__)
def test_deeper_networks_train_stacked_as_alone(net: Any) -> None:
    """Two members side by side and each alone agree in the first steps, in float64."""
    recipe = Recipe(lr=0.003, steps=8, records=4, dtype="float64", weight_decay=0.5)
    task, grid = addition(7, corruption=0.3), Grid({"weight_decay": (0.0, 2.0)}, seeds=2)
    together = train(net, task, grid, recipe, (*LEARNING, *CORRUPTION), tile=4)
    alone = train(net, task, grid, recipe, (*LEARNING, *CORRUPTION), tile=1)
    assert np.allclose(together.train_loss, alone.train_loss, rtol=1e-9)
    assert (last(together.train_loss) < together.train_loss.isel(step=0)).all()


def test_deeper_networks_begin_at_the_variances_they_name() -> None:
    deep = DeepMLP(31, 300)
    deep.initialize(np.random.default_rng(0))
    for weight, fan_in in ((deep.embed, 62), (deep.hidden, 300), (deep.output, 300)):
        assert float(weight.detach().square().mean()) == pytest.approx(2 / fan_in, rel=0.05)
    token = OneLayerTransformer(31, 64)
    token.initialize(np.random.default_rng(0))
    for weight, variance in ((token.embed, 1), (token.key, 1 / 64), (token.narrow, 1 / 256), (token.output, 1 / 64)):
        assert float(weight.detach().square().mean()) == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DeepMLP(1, 8), "p is 1: it must be an integer >= 2"),
        (lambda: DeepMLP(7, 0), "width is 0: give a whole number"),
        (lambda: DeepMLP(7, 8, layers=1), "layers is 1: give at least 2"),
        (lambda: OneLayerTransformer(7, 10), "width is 10 and heads is 4"),
    ],
)
def test_deeper_networks_refuse(make: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        make()


def test_the_weights_of_deeper_networks_are_not_taken_for_neurons() -> None:
    """Their first layer does not meet the readout: the participation of whole neurons would mix unrelated ones."""
    with pytest.raises(BadInput, match="Fourier readings need"):
        measure(DeepMLP(7, 8), addition(7), Grid(), (participation,))
    data = measure(OneLayerTransformer(7, 8), addition(7), Grid(), (fourier.embed_participation,))
    assert data.embed_participation.shape == (1, 8)
