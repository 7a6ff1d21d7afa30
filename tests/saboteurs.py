"""Deliberately wrong versions. Each must be rejected by the law that it is named with.

``spoil`` patches the implementation while its law runs, or does nothing where the law itself is handed a wrong version.
A law that a saboteur passes is no law.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

import test_corruption
import test_criticality_theory
import test_ensemble
import test_fingerprint
import test_identity
import test_independent_neurons
import test_inspect
import test_kernel_distance
import test_learners
import test_polynomials
import test_recipes
import test_rich_and_lazy
import test_rich_lazy_theory
import test_signal
import test_stochastic_collapse
import test_stochastic_collapse_theory
import test_streams
import test_tasks
import test_theory
import test_transfer
import test_transformer_theory
from laws import instrument_laws
from phasescope.ensemble import fused, marks, optimizers, reading, streams, tile
from phasescope.ensemble.jobs import Job
from phasescope.ensemble.streams import batch_order, initialized
from phasescope.inspection import judge, rows
from phasescope.inspection.readings import Interval
from phasescope.instruments import (
    fourier,
    graph,
    logits,
    neural_tangent_kernel,
    neuron_independence,
    norms,
    partial_jacobian,
    signal,
    twins,
)
from phasescope.instruments.corruption import corrected_accuracy, corrupted_accuracy, given_logit, uncorrupted_accuracy
from phasescope.instruments.neuron_pruning import pruning
from phasescope.learners import KeyedDropout
from phasescope.theory import (
    activations,
    autoinit,
    critical_initialization,
    criticality,
    label_corruption,
    linear_transfer,
    modular_addition,
    polynomial_forms,
    polynomial_weights,
    residues,
    rich_lazy,
    rich_lazy_wide,
    stochastic_collapse,
    transformer_signal,
)
from phasescope.vocabulary import Draw, Instrument, Reading, Subject
from truths import test_polynomial_weights

walk = import_module("phasescope.identity.fingerprint")
arrays = import_module("phasescope.identity.arrays")
train_module = import_module("phasescope.ensemble.train")  # the package's name ``train`` is the function

Spoil = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Saboteur:
    """What is wrong, how to bring it about, and the law that must notice."""

    wrong: str
    law: Callable[[], None]
    spoil: Spoil = lambda monkeypatch: None


# -- training -------------------------------------------------------------------------------------------------------------


def hyper(place: int, change: Callable[[float], float]) -> Spoil:
    """Change one number of the fused engine: 0 optimizer, 1 lr, 2 weight decay, 3 momentum."""

    def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
        right = fused.FusedMember._constants

        def wrong(self: Any) -> None:
            right(self)
            self.hyper[place] = change(self.hyper[place])

        monkeypatch.setattr(fused.FusedMember, "_constants", wrong)

    return spoil


def number(name: str, factor: float) -> Spoil:
    """Change one number of the stacked engine."""

    def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
        right = optimizers.numbers

        def wrong(recipes: Any, device: Any) -> Any:
            found = right(recipes, device)
            return {**found, name: found[name] * factor}

        monkeypatch.setattr(optimizers, "numbers", wrong)

    return spoil


def coupled_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optimizers._UPDATES, "adamw", optimizers._adam)


def one_norm_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients that are clipped to the norm of the whole tile, where each member has one of its own."""

    def wrong(gradients: Any, value: Any, norm: Any, scratch: Any) -> Any:
        if norm is None:
            return gradients
        whole = torch.sqrt(sum(g.square().sum() for g in gradients))
        return [g * (norm.to(g.dtype) / whole).clamp(max=1).view(-1, *[1] * (g.ndim - 1)) for g in gradients]

    monkeypatch.setattr(optimizers, "clipped", wrong)


def every_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positions that do not count are read, as if their label were 0."""
    right = reading._told
    monkeypatch.setattr(reading, "_told", lambda data: right({**data, "labels": data["labels"].clamp(min=0)}))


def dropped_member(monkeypatch: pytest.MonkeyPatch) -> None:
    right = train_module.to_dataset
    monkeypatch.setattr(
        train_module, "to_dataset", lambda g, w, e, found, *rest: right(g, w, e, [*found[1:], found[1]], *rest)
    )


def swapped_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "begun", lambda job: initialized(job.module, 1 - job.member.seed))


def one_order_for_all(module: Any) -> Spoil:
    def wrong(seed: int, rows: Any, batch: int, first: int, count: int) -> Any:
        return batch_order(0, rows, batch, first, count)

    return lambda monkeypatch: monkeypatch.setattr(module, "batch_order", wrong)


class Leaky(Job):
    """A job whose member trains on the whole table."""

    def draw(self) -> Draw:
        split = super().draw()
        return replace(split, train=np.sort(np.concatenate([split.train, split.test])))


def leaky(job: Job) -> Job:
    return Leaky(**{name: getattr(job, name) for name in Job.__dataclass_fields__})


def tests_on_train_rows(kind: Any) -> Spoil:
    """The engine trains on the whole table. Its jobs are changed, not their class: members begin in several threads."""

    def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
        right = kind.__init__

        def wrong(self: Any, given: Any, *rest: Any) -> None:
            right(self, [leaky(job) for job in given] if isinstance(given, list) else leaky(given), *rest)
            if isinstance(given, list):
                self.jobs = given

        monkeypatch.setattr(kind, "__init__", wrong)

    return spoil


def forgets(array: str) -> Spoil:
    """A checkpoint that is taken up without one of its arrays."""

    def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
        right = fused.FusedMember.restore

        def wrong(self: Any, arrays: Any, facts: Any) -> None:
            right(self, {**arrays, array: np.zeros_like(arrays[array])}, facts)

        monkeypatch.setattr(fused.FusedMember, "restore", wrong)

    return spoil


def forgets_momentum_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    right = tile.Tile.restore

    def wrong(self: Any, arrays: Any, facts: Any) -> None:
        right(self, {k: np.zeros_like(v) if k.startswith("m.") else v for k, v in arrays.items()}, facts)

    monkeypatch.setattr(tile.Tile, "restore", wrong)


def begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run that sees the batches from the start again."""
    right = fused.FusedMember.restore

    def wrong(self: Any, arrays: Any, facts: Any) -> None:
        right(self, arrays, facts)
        skipped = self.now.done
        monkeypatch.setattr(
            fused, "batch_order", lambda s, rows, b, first, count: batch_order(s, rows, b, first - skipped, count)
        )

    monkeypatch.setattr(fused.FusedMember, "restore", wrong)


def loop(name: str, engine: str) -> Callable[[], None]:
    return lambda: test_ensemble.law_plain_loop(name, engine)


TRAINING = (
    Saboteur("learning rate off by 1 %, fused", loop("sgd", "fused"), hyper(1, lambda lr: 1.01 * lr)),
    Saboteur("learning rate off by 1 %, stacked", loop("adam", "stacked"), number("lr", 1.01)),
    Saboteur("learning rate off by 1 %, closed form", test_ensemble.law_closed_form, number("lr", 1.01)),
    Saboteur("decay not decoupled, fused", loop("adamw decay", "fused"), hyper(0, lambda kind: 1.0)),
    Saboteur("decay not decoupled, stacked", loop("adamw decay", "stacked"), coupled_decay),
    Saboteur("no decay", test_ensemble.law_closed_form, number("weight_decay", 0.0)),
    Saboteur("one norm for all members of a tile", lambda: test_recipes.law_limit("clip_norm"), one_norm_for_all),
    Saboteur("every position counts", test_recipes.law_positions_are_read, every_position),
    Saboteur("momentum ignored, fused", loop("sgd", "fused"), hyper(3, lambda momentum: 0.0)),
    Saboteur("momentum ignored, stacked", loop("sgd", "stacked"), number("momentum", 0.0)),
    Saboteur("a dropped member, fused", loop("sgd", "fused"), dropped_member),
    Saboteur("a dropped member, stacked", loop("cross-entropy", "stacked"), dropped_member),
    Saboteur("swapped seeds, fused", loop("adamw", "fused"), swapped_seeds),
    Saboteur("swapped seeds, stacked", loop("adamw", "stacked"), swapped_seeds),
    Saboteur("test rows leak into training, fused", loop("sgd", "fused"), tests_on_train_rows(fused.FusedMember)),
    Saboteur("test rows leak into training, stacked", loop("sgd", "stacked"), tests_on_train_rows(tile.Tile)),
    Saboteur("one batch order for all members, fused", loop("batches", "fused"), one_order_for_all(fused)),
    Saboteur("one batch order for all members, stacked", loop("batches", "stacked"), one_order_for_all(tile)),
    Saboteur(
        "a resume that forgets momentum, fused", lambda: test_ensemble.law_resume("descent", engine="fused", workers=1),
        forgets("m"),
    ),
    Saboteur(
        "a resume that forgets the second moment", lambda: test_ensemble.law_resume("adamw", engine="fused", workers=1),
        forgets("v"),
    ),
    Saboteur(
        "a resume that forgets momentum, stacked", lambda: test_ensemble.law_resume("adamw", engine="stacked", tile=1),
        forgets_momentum_stacked,
    ),
    Saboteur(
        "a resume that repeats its batches", lambda: test_ensemble.law_resume("all at once", engine="fused", workers=1),
        begins_anew,
    ),
)  # fmt: skip


# -- data -----------------------------------------------------------------------------------------------------------------


def leaking(task: Any, seed: int = 0, **knobs: float) -> Any:
    split = test_tasks.drawn(task, seed, **knobs)
    return replace(split, test=np.sort(np.append(split.test, split.train[0])))


def corrupting_tests(task: Any, seed: int = 0, **knobs: float) -> Any:
    split = test_tasks.drawn(task, seed, **knobs)
    labels = split.labels.copy()
    if knobs.get("corruption"):
        labels[split.test[:3]] = (labels[split.test[:3]] + 1) % task.classes
    return replace(split, labels=labels)


def split_anew(task: Any, seed: int = 0, **knobs: float) -> Any:
    return test_tasks.drawn(task, seed + round(100 * knobs.get("train_fraction", 0.5)), **knobs)


def with_replacement(seed: int, rows: Any, batch: int, first: int, count: int) -> Any:
    return streams(seed)("order", first).choice(rows, (count, batch))


def keyed_by_sum(seed: int) -> Any:
    return lambda purpose, index=0: streams(seed + index)(purpose)


class HalfDropout(KeyedDropout):
    """Drops half of what it should."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        right = super().forward(values)
        return torch.where((right == 0) & (torch.arange(right.shape[-1]) % 2 == 0), 1 / (1 - self.rate), right)


DATA = (
    Saboteur("a row that trains and tests", lambda: test_tasks.law_no_leak(leaking)),
    Saboteur("labels corrupted on test rows", lambda: test_tasks.law_corruption(corrupting_tests)),
    Saboteur("a new split for each fraction", lambda: test_tasks.law_splits_are_nested(split_anew)),
    Saboteur("batches with replacement", lambda: test_streams.law_batches(with_replacement)),
    Saboteur("streams keyed by a sum", lambda: test_streams.law_streams_are_different(keyed_by_sum)),
    Saboteur("half of the dropout", lambda: test_learners.law_dropout_rate(HalfDropout)),
    Saboteur(
        "a width too small by one",
        lambda: test_theory.law_width_inverts_accuracy(lambda p, a: modular_addition.width_needed(p, a) - 1),
    ),
)


# -- instruments ----------------------------------------------------------------------------------------------------------


def participation_by(power: Callable[[torch.Tensor], torch.Tensor]) -> Instrument:
    """The participation ratio with other bins."""

    def measure(s: Subject) -> Reading:
        vectors = torch.cat([s.parameters["embed"], s.parameters["readout"][:, None]], 1)
        p = power(vectors)
        return Reading((p.square().sum(-2) / p.sum(-2).square()).mean(1))

    return replace(fourier.participation, measure=measure)


without_dc = participation_by(lambda v: torch.fft.rfft(v, dim=-2)[..., 1:, :].abs().square())
full_transform = participation_by(lambda v: torch.fft.fft(v, dim=-2).abs().square())


def minus_alignment(s: Subject) -> Reading:
    angle = fourier.phases(s).value
    return Reading(torch.cos(angle[:, :-1].sum(1) + angle[:, -1]))


def transposed_readout(s: Subject) -> Reading:
    embed, readout = s.parameters["embed"], s.parameters["readout"]
    turned = readout.flip(1)
    return fourier.phase_alignment(replace(s, parameters={"embed": embed, "readout": turned}))


def first_neuron(s: Subject) -> Reading:
    return Reading(s.parameters["embed"][..., 0].square().sum((1, 2)).sqrt())


def of_the_company(s: Subject) -> Reading:
    value = norms.weight_norm(s).value
    return Reading(value / value.max())


def on_all_rows(s: Subject) -> Reading:
    return logits.train_accuracy(replace(s, train=torch.ones_like(s.train)))


def unweighted(s: Subject) -> Reading:
    return logits.train_loss(replace(s, weights=torch.ones_like(s.weights)))


def too_curious(s: Subject) -> Reading:
    s.logits()
    return norms.weight_norm(s)


def percent(s: Subject) -> Reading:
    return Reading(100 * logits.train_accuracy(s).value)


def judged(law: Callable[[Instrument], None], instrument: Instrument, measure: Any = None) -> Callable[[], None]:
    wrong = instrument if measure is None else replace(instrument, measure=measure)
    return lambda: law(wrong)


laws = instrument_laws
INSTRUMENTS = (
    Saboteur("participation without the constant", judged(laws.law_participation_counts_the_constant, without_dc)),
    Saboteur("participation without the constant, noise", judged(laws.law_participation_of_noise, without_dc)),
    Saboteur("participation by the full transform", judged(laws.law_participation_of_a_cosine_is_one, full_transform)),
    Saboteur(
        "alignment with a minus sign",
        judged(laws.law_alignment_of_exact_weights_is_one, fourier.phase_alignment, minus_alignment),
    ),
    Saboteur(
        "a readout turned round",
        judged(laws.law_alignment_of_exact_weights_is_one, fourier.phase_alignment, transposed_readout),
    ),
    Saboteur(
        "a reading of the first neuron", judged(laws.law_invariances, norms.weight_norm, first_neuron)
    ),
    Saboteur(
        "a reading in units of the company", judged(laws.law_batch_independence, norms.weight_norm, of_the_company)
    ),
    Saboteur("training accuracy on all rows", judged(laws.law_hand_made, logits.train_accuracy, on_all_rows)),
    Saboteur("loss without weights", judged(laws.law_hand_made, logits.train_loss, unweighted)),
    Saboteur("weights that look at logits", judged(laws.law_cost, norms.weight_norm, too_curious)),
    Saboteur("accuracy in percent", judged(laws.law_bounds, logits.train_accuracy, percent)),
    Saboteur(
        "an unknown promise",
        judged(laws.law_invariances, replace(norms.weight_norm, invariances=("time reversal",))),
    ),
    Saboteur(
        "an accuracy that promises blindness to scale of its own",
        judged(laws.law_invariances, replace(norms.weight_norm, invariances=("weight scale",))),
    ),
)  # fmt: skip


# -- wrong labels ---------------------------------------------------------------------------------------------------------


def without_accidents(s: Subject) -> Reading:
    return corrupted_accuracy(replace(s, corrupted=s.corrupted & (s.labels != s.truth)))


def on_test_rows(s: Subject) -> Reading:
    return corrected_accuracy(replace(s, corrupted=s.test, train=s.test))


def with_accidents(s: Subject) -> Reading:
    chosen = s.logits().gather(-1, s.labels.long()[..., None])[..., 0]
    rows = (s.train & s.corrupted).double()
    return Reading((chosen * rows).sum(-1) / rows.sum(-1))


def of_the_truth(s: Subject) -> Reading:
    return uncorrupted_accuracy(replace(s, corrupted=s.labels != s.truth))


def signed_correlation(s: Subject) -> Reading:
    ratio, gamma = fourier.participation(s).value, s.parameters["norm.weight"]
    found = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(ratio, gamma, strict=True)]
    return Reading(torch.stack(found))


def pruned_backwards(score: Instrument, *, order: str, shares: Any) -> Instrument:
    return pruning(score, order={"lowest": "highest", "highest": "lowest"}.get(order, order), shares=shares)  # type: ignore[arg-type]


def pruned_one_too_few(score: Instrument, *, order: Any, shares: Any) -> Instrument:
    """Takes one neuron fewer than asked."""
    return pruning(score, order=order, shares=tuple(max(0.0, share - 1 / 6) if share else share for share in shares))


def pruned_at_least_one(score: Instrument, *, order: Any, shares: Any) -> Instrument:
    return pruning(score, order=order, shares=tuple(sorted({max(share, 1 / 6) for share in shares})))


def strict_phase(train: Any, test: Any, corruption: Any, best: Any) -> Any:
    less = [np.maximum(np.asarray(x) - 1e-9, 0) for x in (train, test)]
    return label_corruption.corruption_phase(*less, corruption, best)


def forgetful_phase(train: Any, test: Any, corruption: Any, best: Any) -> Any:
    return label_corruption.corruption_phase(train, test, corruption, np.ones_like(best))


def half_corrected(train: Any, test: Any, corruption: Any, best: Any) -> Any:
    return label_corruption.corruption_phase(np.minimum(np.asarray(train) + 0.05, 1), test, corruption, best)


wrong_labels = test_corruption
WRONG_LABELS = (
    Saboteur(
        "corrupted samples without the accidentally right",
        judged(wrong_labels.law_by_hand, corrupted_accuracy, without_accidents),
    ),
    Saboteur("correction of test samples", judged(wrong_labels.law_by_hand, corrected_accuracy, on_test_rows)),
    Saboteur(
        "the logit of accidentally right labels",
        judged(wrong_labels.law_by_hand, given_logit, with_accidents),
    ),
    Saboteur(
        "accidentally right labels as uncorrupted",
        lambda: wrong_labels.law_parts_over_seeds(replace(uncorrupted_accuracy, measure=of_the_truth)),
    ),
    Saboteur(
        "a correlation with the sign of gamma",
        judged(wrong_labels.law_correlation, norms.norm_correlation, signed_correlation),
    ),
    Saboteur("pruning from the wrong end", lambda: wrong_labels.law_pruning_is_literal(pruned_backwards)),
    Saboteur("pruning one neuron too few", lambda: wrong_labels.law_pruning_is_literal(pruned_one_too_few)),
    Saboteur(
        "pruning that always takes one", lambda: wrong_labels.law_pruning_nothing_changes_nothing(pruned_at_least_one)
    ),
    Saboteur("phases that want more than 90 %", lambda: wrong_labels.law_phases_are_table_2(strict_phase)),
    Saboteur("confusion taken for forgetting", lambda: wrong_labels.law_phases_are_table_2(forgetful_phase)),
    Saboteur("a slack counted twice", lambda: wrong_labels.law_phases_are_table_2(half_corrected)),
    Saboteur(
        "full inversion without accidentally right labels",
        lambda: wrong_labels.law_full_inversion(lambda xi, p: 1 - xi, 7),
    ),
)


# -- polynomials ----------------------------------------------------------------------------------------------------------


def hasty_certificate(table: Any) -> bool:
    """Compares the rows' values without asking whether all columns differ."""
    return len(np.unique(np.sort(table, axis=1), axis=0)) > 1


def unchecked_form(p: int, terms: Any, table: Any) -> Any:
    """Reads h off the table and does not compare the rest with it."""
    inner = (tuple(range(p)), tuple(range(p)))
    outer = [0] * p
    for n, row in enumerate(table):
        for m, label in enumerate(row):
            outer[(n + m) % p] = int(label)
    return polynomial_forms.Form("additive", inner, tuple(outer))


def printed_weights(*arguments: Any, **changes: Any) -> Any:
    return polynomial_weights.product_weights(*arguments, **changes, misprinted=True)


def raw_weights(p: int, width: int, generator: Any, *, factors: Any) -> Any:
    """A sum of the numbers, in place of their logarithms."""
    return polynomial_weights.sum_weights(p, width, generator, terms=factors)


def twins_by_row(table: Any) -> Any:
    rows = [sum(np.array_equal(a, b) for b in table) - 1 for a in table]
    return np.array(rows)[:, None] + np.zeros_like(table)


def twins_of_everyone(s: Subject) -> Reading:
    return twins.twin_share(replace(s, train=torch.ones_like(s.train)))


def twins_by_label(s: Subject) -> Reading:
    """Counts equal labels, where equal rows and columns are asked for."""
    found = [torch.isin(y, y[t]) for y, t in zip(s.truth, s.train, strict=True)]
    return Reading((torch.stack(found) & s.test).double().sum(1) / s.test.sum(1))


def power_as_product(f: Any) -> str:
    return str(f).replace("^", "*")


POLYNOMIALS = (
    Saboteur("a certificate in haste", lambda: test_polynomials.law_certificate_is_sound(hasty_certificate)),
    Saboteur("a form that nobody checked", lambda: test_polynomials.law_forms_are_witnesses(unchecked_form)),
    Saboteur(
        "logarithms to another base",
        lambda: test_polynomials.law_discrete_logarithms(lambda p: 2 * residues.discrete_logarithms(p) % max(p - 1, 1)),
    ),
    Saboteur("the misprinted exponent", lambda: test_polynomial_weights.law_products(printed_weights)),
    Saboteur("numbers in place of logarithms", lambda: test_polynomial_weights.law_products(raw_weights)),
    Saboteur(
        "noise that counts the signal",
        lambda: test_polynomial_weights.law_sum_error_constant(
            lambda s: polynomial_weights.sum_error_constant(s) + 0.5
        ),
    ),
    Saboteur("twins by rows alone", lambda: test_polynomials.law_twin_counts(twins_by_row)),
    Saboteur("twins among test cells", judged(test_polynomials.law_twin_share, twins.twin_share, twins_of_everyone)),
    Saboteur("twins by label", judged(test_polynomials.law_twin_share, twins.twin_share, twins_by_label)),
    Saboteur("powers printed as products", lambda: test_polynomials.law_text_round_trip(power_as_product)),
)


# -- signal propagation ---------------------------------------------------------------------------------------------------


def few_nodes(phi: activations.Activation, kernel: float) -> activations.Moments:
    """Moments by Gauss-Hermite with 21 nodes, whatever the kernel."""
    z, w = np.polynomial.hermite_e.hermegauss(21)
    x, w = np.sqrt(kernel) * z, w / w.sum()
    f, g = phi.value(x), phi.slope(x)
    return activations.Moments(float(w @ f**2), float(w @ g**2), float(w @ f), float(w @ (f * g * x)) / kernel, 1e-12)


def without_mean(block: criticality.Block, kernel: float) -> float:
    """LayerNorm on activations that divides by A instead of V."""
    wrong = replace(block, norm="rms post") if block.norm == "layer post" else block
    return criticality.chi_jacobian(wrong, kernel)


def without_kernel(block: criticality.Block, kernel: float) -> float:
    """A norm on preactivations whose own slope is forgotten."""
    right = criticality.chi_jacobian(block, kernel) - block.residual**2
    return right * (kernel if block.norm.endswith("pre") else 1) + block.residual**2


def unscaled_weights(phi: Any, kernel: float, norm: Any = "none", residual: float = 0.0) -> tuple[float, float]:
    return critical_initialization.critical_weights(phi, kernel, norm)


def angle_without_size(block: transformer_signal.TransformerBlock, size: float | None = None) -> float:
    """The tokens' distance, not their angle: the change of size is left out."""
    q, _ = transformer_signal.mlp_step(block, *transformer_signal.attention_step(block, size or 1.0, size or 1.0))
    return transformer_signal.angle_exponent(block, size) + float(
        np.log(q / (1.0 if block.skip == "reset" else size or 1.0))
    )


def wrong_log_step(scale: float, rate: float, gain: float, loss: Any = "log", residual: float = 0.0) -> float:
    """Descent on (log J)^2 instead of half of it."""
    return autoinit.autoinit_step(scale, 2 * rate if loss == "log" else rate, gain, loss, residual)


signals = test_criticality_theory
SIGNALS = (
    Saboteur("moments with 21 nodes", lambda: signals.law_moments_are_integrals(few_nodes)),
    Saboteur("LayerNorm that leaves the mean", lambda: signals.law_chi_is_the_slope(without_mean)),
    Saboteur("LayerNorm without its slope", lambda: signals.law_chi_is_the_slope(without_kernel)),
    Saboteur(
        "chi without the residual",
        lambda: signals.law_chi_is_the_slope(lambda b, k: criticality.chi_jacobian(replace(b, residual=0.0), k)),
    ),
    Saboteur(
        "a residual that enters as mu, not its square",
        lambda: signals.law_residual(lambda b: criticality.fixed_chi(replace(b, residual=b.residual**0.5))),
    ),
    Saboteur("critical weights without 1 - mu^2", lambda: signals.law_critical_weights(unscaled_weights)),
    Saboteur(
        "a one-step rate off by 1 %", lambda: signals.law_one_step(lambda g, mu: 1.01 * autoinit.one_step_rate(g, mu))
    ),
    Saboteur("a log loss without its half", lambda: signals.law_step_is_the_gradient(wrong_log_step)),
    Saboteur(
        "angles without the tokens' size", lambda: test_transformer_theory.law_exponent_is_the_map(angle_without_size)
    ),
)

TRANSFER = (
    Saboteur("what is kept of the source as printed", lambda: test_transfer.law_kept_share(lambda *a, **k: 1.0)),
    Saboteur(
        "two layers' share at any depth",
        lambda: test_transfer.law_kept_share(
            lambda a, b, source, layers: linear_transfer.kept_share(a, b, source=source)
        ),
    ),
    Saboteur(
        "no anomalous band",
        lambda: test_transfer.law_contours(
            lambda angle, noise: ((linear_transfer.negative_transfer(angle, noise)[0][0], np.inf),)
        ),
    ),
)

# -- stochastic collapse -------------------------------------------------------------------------------------------------


def stratonovich(drift: float, noise: float, step: float = 0.0) -> float:
    """The rate without Ito's term."""
    return float(np.log(abs(1 + drift * step))) / step


def second_order(drift: float, noise: float, step: float = 0.0) -> float:
    """The rate of the continuous walk, whatever the step."""
    return stochastic_collapse.collapse_rate(drift, noise)


def path_of_stratonovich(start: Any, increments: Any, mu: float, zeta: float, dt: float) -> Any:
    return stochastic_collapse.quartic_path(start, increments, mu + zeta**2 / 2, zeta, dt)


def half_the_noise(x: Any, y: Any, noise: float, slope: float = 1.0) -> tuple[float, float]:
    return stochastic_collapse.neuron_rates(x, y, noise / 2, slope)


def keeps_the_dead(vectors: Any) -> Any:
    return neuron_independence.neuron_groups(vectors, small=0.0)


def merges_nothing(vectors: Any) -> Any:
    return neuron_independence.neuron_groups(vectors, close=0.0)


def too_strong(member: Any, generators: Any) -> dict[str, Any]:
    """Modes whose strength is off by 1 in 1000."""
    found = test_stochastic_collapse.walks.modes(member, generators)
    return {name: value * 1.001 for name, value in found.items()}


def noise_per_neuron(net: Any, g: np.random.Generator) -> None:
    """Noise that does not vanish on the invariant set: each weight has its own."""
    test_stochastic_collapse.sgd(net, g)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.from_numpy(1e-12 * g.standard_normal(p.shape)))


collapse, neurons = test_stochastic_collapse_theory, test_independent_neurons
COLLAPSE = (
    Saboteur("a collapse rate without Ito's term", lambda: collapse.law_rate_of_steps(stratonovich)),
    Saboteur("a collapse rate that knows no steps", lambda: collapse.law_rate_of_steps(second_order)),
    Saboteur("Stratonovich's path for Ito's equation", lambda: collapse.law_exact_path(path_of_stratonovich)),
    Saboteur("half of a neuron's label noise", lambda: collapse.law_neuron_rates(half_the_noise)),
    Saboteur("vanished neurons are counted", lambda: neurons.law_constructed(keeps_the_dead)),
    Saboteur("twins are counted twice", lambda: neurons.law_constructed(merges_nothing)),
    Saboteur(
        "modes that are a little too strong", lambda: test_stochastic_collapse.law_modes_stay_balanced(too_strong)
    ),
    Saboteur(
        "noise that does not vanish", lambda: test_stochastic_collapse.law_symmetric_stays_symmetric(noise_per_neuron)
    ),
)


# -- inspection -----------------------------------------------------------------------------------------------------------


def put(home: Any, name: str, wrong: Any) -> Spoil:
    """Replace ``name`` in ``home`` while the law runs."""
    return lambda monkeypatch: monkeypatch.setattr(home, name, wrong)


def with_itself(vectors: torch.Tensor) -> torch.Tensor:
    """A mean cosine over all pairs, each vector with itself included."""
    return torch.nn.functional.normalize(vectors, dim=-1).mean(-2).square().sum(-1)


def per_input(found: Any, start: str, end: str, **asked: Any) -> tuple[Reading, Reading]:
    """A Jacobian norm divided by the units at its start."""
    j, skip = partial_jacobian.transfer(found, start, end, **asked)
    ratio = found.values[end].numel() / found.values[start].numel()
    assert j.error is not None
    return Reading(j.value * ratio, j.error * ratio), skip


def last_axis(self: Any, x: torch.Tensor, low: float, high: float, right: Any = signal.Activity._count) -> None:
    """Units of a convolution taken for the columns of its picture."""
    self.axis = -1
    right(self, x, low, high)


def by_value(j: Interval, tolerance: float) -> str:
    """A verdict that does not ask how well the number is known."""
    return judge.verdict_of(Interval(j.value, j.value, j.value), tolerance)


def anywhere(*arguments: Any) -> Any:
    """Every value of a stream taken for a cut, also inside the branches."""
    found = graph.stream_from(*arguments)
    return found and replace(found, cuts=frozenset(found.rank))


INSPECTION = (
    Saboteur(
        "a cosine of each vector with itself",
        test_signal.TestCosines().test_mean_cosine_is_that_over_all_pairs,
        put(test_signal, "mean_cosine", with_itself),
    ),
    Saboteur(
        "a Jacobian norm per input",
        test_signal.TestTransfer().test_places_of_different_shapes_have_no_diagonal_and_j_is_over_the_outputs,
        put(test_signal, "transfer", per_input),
    ),
    Saboteur(
        "columns taken for channels",
        test_signal.TestDeadUnits().test_channels_are_the_units_of_a_convolution,
        put(signal.Activity, "_count", last_axis),
    ),
    Saboteur(
        "a verdict without its interval",
        test_inspect.TestVerdicts().test_intervals_decide,
        put(test_inspect, "verdict_of", by_value),
    ),
    Saboteur(
        "blocks inside a branch",
        lambda: test_inspect.TestBlocks().test_the_row_that_the_whole_signal_passes_through(*test_inspect.FOUND[4][1:]),
        put(rows, "stream_from", anywhere),
    ),
)

# -- rich and lazy --------------------------------------------------------------------------------------------------------


def summed_outputs(net: Any, inputs: torch.Tensor, **asked: Any) -> torch.Tensor:
    """The kernel of the sum of all outputs, which one backward pass per sample gives."""
    full = neural_tangent_kernel.tangent_kernel(net, inputs, **{**asked, "full": True})
    count = len(full) // len(inputs)
    summed = full.view(len(inputs), count, len(inputs), count).sum((1, 3)) / count
    return full if asked.get("full") else summed


def one_minus_cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The distance by its formula, which loses what is below rounding."""
    inner = (one * other).sum((-2, -1)).double()
    return 1 - inner / torch.linalg.matrix_norm(one.double()) / torch.linalg.matrix_norm(other.double())


def notebook_slip(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The second norm taken of the first kernel."""
    return 1 - (one * other).sum((-2, -1)) / torch.linalg.matrix_norm(one) ** 2


def any_change(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Values that changed, instead of signs."""
    return (one != other).double().mean(-2).sum(-1)


def balanced_always(beta: Any, delta: float, slope: Any) -> Any:
    """The flow of a wide network that is balanced."""
    return rich_lazy_wide.product_flow(beta, 0.0, slope)


def halved_entropy(values: Any, delta: float) -> float:
    """The entropy without the 2 in asinh(2 s / delta)."""
    return rich_lazy_wide.hyperbolic_entropy(np.asarray(values) / 2, delta) * 2


def depth_forgotten(beta0: Any, layers: int, null: Any, solution: float) -> float:
    """Two layers' potential whatever the depth."""
    return rich_lazy_wide.deep_null_coordinate(beta0, 2, null, solution)


def halved_step(weights: Any, x: Any, y: Any, rate: float) -> Any:
    """Descent without the square's factor 2."""
    return test_rich_and_lazy.relu.step(weights, x, y, rate / 2)


def uncancelled(generator: Any, *sizes: Any) -> Any:
    """Pairs that add up instead of cancelling."""
    w, a = test_rich_and_lazy.relu.start(generator, *sizes)
    return w, np.abs(a)


def sign_kept(times: Any, a0: float, w0: Any, target: Any) -> Any:
    """A neuron whose a never changes its sign."""
    a, w = rich_lazy.whitened_flow(times, a0, w0, target)
    return np.abs(a) * np.sign(a0), w


kernels, rich = test_kernel_distance, test_rich_and_lazy
RICH_AND_LAZY = (
    Saboteur("a kernel of summed outputs", lambda: kernels.law_plain_loop(summed_outputs)),
    Saboteur("a kernel distance that rounds away", lambda: kernels.law_small_distances(one_minus_cosine)),
    Saboteur("a kernel distance with one norm twice", lambda: kernels.law_distance(notebook_slip)),
    Saboteur("patterns that count every change", lambda: kernels.law_patterns(any_change)),
    Saboteur("a wide network taken for balanced", lambda: rich.law_product_flow(balanced_always)),
    Saboteur("an entropy without its two", lambda: rich.law_entropy(halved_entropy)),
    Saboteur("a potential that forgets depth", lambda: rich.law_deep(depth_forgotten)),
    Saboteur("a step without the square's two", lambda: rich.law_relu_step(halved_step)),
    Saboteur("pairs that do not cancel", lambda: rich.law_start(uncancelled)),
    Saboteur("an a that keeps its sign", lambda: test_rich_lazy_theory.law_closed_form(sign_kept)),
)


# -- identity ------------------------------------------------------------------------------------------------------------


def forgets_in_functions(**changes: Any) -> Spoil:
    """Functions whose code is read with something of it left out."""

    def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
        right = walk._Walk._function

        def wrong(self: Any, f: types.FunctionType) -> bytes:
            space = changes.get("space", f.__globals__)
            copy = types.FunctionType(f.__code__, space, "f", f.__defaults__, f.__closure__)
            copy.__kwdefaults__ = changes.get("kwdefaults", f.__kwdefaults__)
            copy.__defaults__ = changes.get("defaults", f.__defaults__)
            return right(self, copy)

        monkeypatch.setattr(walk._Walk, "_function", wrong)

    return spoil


def forgets_a_method(name: str, answer: Callable[[Any], str]) -> Spoil:
    """A rule of the walk that tells a thing by less than all of it."""
    return lambda monkeypatch: monkeypatch.setattr(walk._Walk, name, lambda self, value: answer(value).encode())


def without_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    right = walk.network_parts
    monkeypatch.setattr(
        walk, "network_parts", lambda m: (right(m)[0], {k: v for k, v in right(m)[1].items() if "hooks" not in k})
    )


def without_submodules(monkeypatch: pytest.MonkeyPatch) -> None:
    right = walk.network_parts
    monkeypatch.setattr(
        walk, "network_parts", lambda m: (right(m)[0], {k: v for k, v in right(m)[1].items() if "module" not in k})
    )


def only_submodules(monkeypatch: pytest.MonkeyPatch) -> None:
    right = walk.network_parts
    monkeypatch.setattr(
        walk, "network_parts", lambda m: (right(m)[0], {k: v for k, v in right(m)[1].items() if "module" in k})
    )


ways = test_fingerprint.law_difference
IDENTITY = (
    Saboteur("a network by its printed form", lambda: ways("a number", lambda x, **how: repr(x))),
    Saboteur("a network by its class", lambda: ways("a number", lambda x, **how: type(x).__qualname__)),
    Saboteur("functions without closures", lambda: ways("a closure"), put(walk, "cell_of", lambda cell: "held")),
    Saboteur("functions without defaults", lambda: ways("a default"), forgets_in_functions(defaults=None)),
    Saboteur("functions without keyword defaults", lambda: ways("a keyword's default"), forgets_in_functions(kwdefaults=None)),
    Saboteur("functions without globals", lambda: ways("a function's function"), forgets_in_functions(space={})),
    Saboteur("functions by name", lambda: ways("a constant"), forgets_a_method("_function", lambda f: f.__qualname__)),
    Saboteur("classes by name", lambda: ways("a method"), forgets_a_method("_class", lambda c: c.__qualname__)),
    Saboteur("arrays by shape", lambda: ways("an array"), forgets_a_method("_array", lambda a: str(a.shape))),
    Saboteur("tensors by shape", lambda: ways("a tensor"), forgets_a_method("_tensor", lambda t: str(t.shape))),
    Saboteur(
        "weights in any order of memory", lambda: ways("a weight's order in memory"),
        put(arrays, "place", lambda walk, tensor: (tuple(tensor.shape),)),
    ),
    Saboteur(
        "weights without hooks", lambda: ways("a hook on a weight"), put(arrays, "more_of_tensor", lambda walk, tensor: [])
    ),
    Saboteur("dicts in any order", lambda: ways("the order of a dict"), forgets_a_method("_mapping", lambda d: str(sorted(d)))),
    Saboteur("objects by class", lambda: ways("a slot"), forgets_a_method("_object", lambda o: type(o).__qualname__)),
    Saboteur("networks without hooks", lambda: ways("a hook"), without_hooks),
    Saboteur("networks without their parts", lambda: ways("a submodule's attribute"), without_submodules),
    Saboteur("networks without attributes", lambda: ways("a number"), only_submodules),
    Saboteur(
        "one fingerprint for all", test_identity.law_the_record_is_its_own,
        put(marks, "fingerprint", lambda *things, **how: "same"),
    ),
)  # fmt: skip

SABOTEURS = (
    *IDENTITY, *TRAINING, *DATA, *INSTRUMENTS, *WRONG_LABELS, *POLYNOMIALS, *SIGNALS, *TRANSFER, *COLLAPSE, *INSPECTION,
    *RICH_AND_LAZY,
)  # fmt: skip
