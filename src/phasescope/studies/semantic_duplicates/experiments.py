"""The experiments of ``semantic-duplicates``: known copies, planted ones, and what networks learn of what stays."""

from __future__ import annotations

from typing import Any

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments.logits import test_accuracy, test_loss, train_loss
from phasescope.lab.study import Experiment
from phasescope.studies.semantic_duplicates.learning import Images, Paragraphs, decoder, perceptron
from phasescope.studies.semantic_duplicates.mail import AGREEMENT, measure_texts
from phasescope.studies.semantic_duplicates.planted import measure_planted
from phasescope.studies.semantic_duplicates.settings import (
    ALL,
    COPIES,
    FEW,
    HARD,
    KEPT,
    NONE,
    ORDERS,
    RANDOM,
    STRENGTHS,
    DuplicateSettings,
)
from phasescope.studies.semantic_duplicates.truth import measure_chains, measure_groups, measure_missed, measure_orders
from phasescope.vocabulary import Grid, Recipe

PAPER = "arXiv:2303.09540"
PARTS = 20  # clusters, where their number is no question
NEAR = 0.05  # distance up to which rows of the crowd are near


def experiments(s: DuplicateSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name."""
    return {**_truth(s), **_images(s), **_text(s), **_given(s)}


def _truth(s: DuplicateSettings) -> dict[str, Simulation]:
    def of(title: str, measure: Any, grid: Grid, quantities: tuple[Quantity, ...], **fixed: Any) -> Simulation:
        return Simulation(title, measure, grid, quantities, fixed)

    plain, along = Grid(seeds=s.seeds), ("epsilon",)
    rows = {"rows": s.rows, "groups": s.groups}
    strengths = {"strength": (1, 2, 3, 4)}
    hashed = "rows with the bits of an earlier one, brighter than the mean or not"
    return {
        "groups": of(
            "rows of known groups", measure_groups, Grid({"clusters": s.clusters}, seeds=s.seeds),
            (Quantity("kept", "1", f"{PAPER}, rows that stay over groups", along, {"epsilon": s.epsilons}),
             Quantity("lost", "1", "groups of which none stays over groups", along, {"epsilon": s.epsilons}),
             Quantity("lost_random", "1", "the same where as many random rows stay", along, {"epsilon": s.epsilons}),
             Quantity("exact", "1", "rows that stay where exact copies go over groups"),
             Quantity("unnested", "1", "rows that stay at a larger epsilon alone, over groups"),
             Quantity("unnested_anew", "1", "the same, each epsilon with an order of its own")),
            **rows, epsilons=s.epsilons,
        ),
        "orders": of(
            "which row of a group stays", measure_orders, plain,
            (Quantity("similarity", "1", "mean cosine with the centroid of what stays", ("order",),
                      {"order": ORDERS}),),
            **rows, parts=PARTS, orders=ORDERS,
        ),
        "chains": of(
            "chains of three rows, and rows that are there twice", measure_chains, plain,
            (Quantity("stay", "1", "rows that stay over chains", ("rule",), {"rule": ("paper", "leader")}),
             Quantity("doubled", "1", "rows that stay over unique rows, each there twice"),
             Quantity("nearly", "1", "the same, the second a hundredth off")), chains=s.chains, parts=PARTS,
        ),
        "missed": of(
            "near copies that clusters part", measure_missed, plain,
            (Quantity("covered", "1", "samples whose interval has the exact number"),
             Quantity("by_pairs", "1", "the same, of 1.96 square roots of the pairs seen"),
             Quantity("share", "1", "near pairs in different clusters over all")),
            crowd=s.crowd, sample=s.sample, samples=s.samples, parts=PARTS, near=NEAR,
        ),
        "planted": of(
            "copies planted among digits", measure_planted, Grid({"change": list(STRENGTHS)}, seeds=s.seeds),
            (Quantity("recall", "1", "changed copies that are found", ("strength",), strengths),
             Quantity("precision", "1", "rows that go and are copies", ("strength",), strengths),
             Quantity("hash_recall", "1", hashed, ("strength",), strengths),
             Quantity("hash_precision", "1", hashed, ("strength",), strengths)),
            planted=s.planted, epsilon=s.epsilon,
        ),
    }  # fmt: skip


def _images(s: DuplicateSettings) -> dict[str, Experiment]:
    task, net, watch = Images(s), perceptron(s), (test_accuracy, train_loss)

    def trained(title: str, steps: int, axes: dict[str, Any]) -> Experiment:
        recipe = Recipe(lr=s.rate, steps=steps, batch=s.batch, loss="cross_entropy", records=min(s.records, steps))
        return Experiment(title, net, task, Grid(axes, seeds=s.seeds), recipe, watch)

    clean = {"stays": (ALL, *FEW), "pile": (NONE,)}
    return {
        "images": trained("images with copies, equal steps", s.steps, {"stays": KEPT, "pile": (COPIES,)}),
        "image_epochs": trained(
            "images with copies, equal epochs", s.steps // s.whole, {"stays": FEW, "pile": (COPIES,)}
        ),
        "clean_images": trained("control: images without copies, equal steps", s.steps, clean),
        "clean_image_epochs": trained(
            "control: images without copies, equal epochs", s.steps // s.whole, {"stays": FEW, "pile": (NONE,)}
        ),
    }


def _text(s: DuplicateSettings) -> dict[str, Experiment]:
    task, net, watch = Paragraphs(s), decoder(s), (test_loss, train_loss)

    def trained(title: str, steps: int, axes: dict[str, Any]) -> Experiment:
        recipe = Recipe(
            lr=s.text_rate, steps=steps, batch=s.text_batch, loss="cross_entropy", records=min(s.records, steps)
        )
        return Experiment(title, net, task, Grid(axes, seeds=s.seeds), recipe, watch)

    kept = tuple(name for name in KEPT if name in (ALL, "exact copies out", HARD, RANDOM))
    return {
        "text": trained("paragraphs with copies, equal steps", s.text_steps, {"stays": kept, "pile": (COPIES,)}),
        "text_epochs": trained(
            "paragraphs with copies, equal epochs", s.text_steps // s.whole, {"stays": FEW, "pile": (COPIES,)}
        ),
        "clean_text_epochs": trained(
            "control: paragraphs without copies, equal epochs",
            s.text_steps // s.whole,
            {"stays": FEW, "pile": (NONE,)},
        ),
        "clean_text": trained(
            "control: paragraphs without copies, equal steps", s.text_steps, {"stays": (ALL, *FEW), "pile": (NONE,)}
        ),
    }


def _given(s: DuplicateSettings) -> dict[str, Simulation]:
    """What real texts have, where folders of them are named."""
    folders = {name: folder for name, folder in (("mail", s.mail), ("speeches", s.speeches)) if folder}
    return {
        name: Simulation(
            f"{name}: copies by words against those by shingles", measure_texts, Grid(seeds=s.seeds), AGREEMENT,
            {"folder": folder, "texts": s.texts},
        )
        for name, folder in folders.items()
    }  # fmt: skip
