"""What ``phasescope layers`` does, but for the terminal: load, measure, and say what the page shows."""

from __future__ import annotations

import importlib.util
import math
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from phasescope.commands.inspect import Told, folder_name, page_of
from phasescope.figures import Figure, Table
from phasescope.inspection.folder import load_folder, load_tokenizer, weight_type
from phasescope.layers.angular import Distances, Kind, deepest, distances
from phasescope.layers.figures import curve_figure, distance_figure
from phasescope.layers.perplexity import Losses
from phasescope.layers.removal import CHOICES, Curve, Removal, curve
from phasescope.layers.stack import stack_of
from phasescope.layers.text import Samples, read_texts, samples
from phasescope.store.data import place_of
from phasescope.verdict.numbers import pack
from phasescope.vocabulary import BadInput, nearest

QUESTION = "Which layers of this language model can go, and what is lost without them?"
SMALL = math.log(1.1)
"""A rise of the loss by 10 % of the perplexity: about the step from one model of a family to the next smaller one."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What both commands are given."""

    model: Path
    text: Path | None
    samples: int
    length: int
    batch: int | None
    seed: int
    device: str
    tokens: str

    def kind(self) -> Kind:
        """Return whose distances choose the block, or raise ``BadInput`` for it or for a number out of range."""
        if self.samples < 1 or self.length < 2 or self.seed < 0 or (self.batch is not None and self.batch < 1):
            raise BadInput(
                f"samples is {self.samples}, length {self.length}, batch {self.batch} and seed {self.seed}: give 1 or "
                "more samples, of 2 or more tokens, run 1 or more at a time, and a seed from 0 on."
            )
        if self.tokens == "last" or self.tokens == "mean":
            return self.tokens  # type: ignore[return-value]
        raise BadInput(f"there is no --tokens {self.tokens!r}{nearest(self.tokens, ('last', 'mean'))}")


def prepare() -> None:
    """Refuse to go on without ``transformers``, and keep it from looking anything up or drawing bars."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported
    if importlib.util.find_spec("transformers") is None:
        raise BadInput("language models need transformers: pip install 'phasescope[llm]'.")
    importlib.import_module("transformers.utils.logging").disable_progress_bar()


def load(asked: Asked) -> nn.Module:
    """Return the model, its layers found: in float32, in float64 if it is, and on CUDA in bfloat16 if it is.

    So no weight is rounded before it is read, or written again.
    """
    if asked.device not in ("auto", "cpu", "cuda") or (asked.device == "cuda" and not torch.cuda.is_available()):
        raise BadInput(f"--device {asked.device} is not here: give auto, cpu, or cuda where there is one.")
    cuda = asked.device != "cpu" and torch.cuda.is_available()
    half = cuda and weight_type(asked.model) == torch.bfloat16
    model = load_folder(asked.model, torch.bfloat16 if half else None)
    stack_of(model)
    return model.to("cuda" if cuda else "cpu").eval()


def text_of(asked: Asked, count: int, *, fewer: bool = False) -> Samples:
    """Return ``count`` random samples of the text."""
    if asked.text is None:
        raise BadInput("there is no --text: name a text file, or a folder with some.")
    if not place_of(asked.text).exists():
        raise BadInput(f"there is no text {asked.text}: name a text file, or a folder with some.")
    tokenizer = load_tokenizer(asked.model, asked.text)
    return samples(read_texts(asked.text), tokenizer, length=asked.length, count=count, seed=asked.seed, fewer=fewer)


def layers(asked: Asked, *, scored: int, draws: int, skip: int, tell: Tell) -> Told:
    """Measure distances on all samples, and losses on the first ``scored``; return what to tell.

    Raises ``BadInput`` for what the user gave that can not be used.
    """
    kind = asked.kind()
    if scored < 0 or draws < 0:
        raise BadInput(f"scored is {scored}, draws {draws}: neither can be below 0.")
    if not 0 <= skip < asked.length:
        raise BadInput(f"skip is {skip}, and samples have {asked.length} tokens: leave out fewer than that.")
    prepare()
    tell("reading the text")
    text = text_of(asked, asked.samples)
    tell("loading the model")
    model = load(asked)
    if stack_of(model).depth < 2:
        raise BadInput(f"{asked.model} has one layer, which can not go: name a model with two or more.")

    def passed(done: int, total: int) -> None:
        tell(f"distances: sample {done}/{total}")

    def removed(done: int, total: int) -> None:
        tell(f"losses: block {done}/{total}")

    found = distances(model, text, skip=skip, batch=asked.batch, on_progress=passed)
    lost = None
    if scored:
        some = text[: min(scored, len(text))]
        lost = curve(
            model, some, found, kind=kind, draws=draws, seed=asked.seed, batch=asked.batch, on_progress=removed
        )
    return _told(asked, type(model).__name__, found, lost, kind, (scored, draws, skip))


def _told(
    asked: Asked, name: str, found: Distances, lost: Curve | None, kind: Kind, numbers: tuple[int, int, int]
) -> Told:
    table = _table(found, lost, kind)
    notes = _notes(found, lost, kind)
    scored, draws, skip = numbers
    settings = {
        "model": str(asked.model), "text": str(asked.text), "samples": asked.samples, "length": asked.length,
        "scored": scored, "draws": draws, "skip": skip, "tokens": asked.tokens, "seed": asked.seed,
    }  # fmt: skip
    command = ["phasescope", "layers", str(asked.model), *(f"--{k}={v}" for k, v in settings.items() if k != "model")]
    figures: list[Figure] = [distance_figure(found, name)]
    figures += [curve_figure(lost, name)] if lost is not None else []
    document = {"model": name, "depth": found.depth, "settings": settings, **_document(found, lost)}
    page = page_of("layers", title_of(name), QUESTION, notes, figures, table, settings, shlex.join(command))
    folder = f"layers-{folder_name(asked.model.absolute().name)}"
    return Told(folder, "layers.json", text_page(name, table, notes), document, page)


def title_of(name: str) -> str:
    """Return the title of a page on a model."""
    return f"{name}: which layers can go"


def _table(found: Distances, lost: Curve | None, kind: Kind) -> Table:
    """Return one row per number of layers left out: which block is nearest, how far its ends are, what is lost."""
    header = ["n", "nearest block", "distance", "deepest block", "distance"]
    header += ["loss [95 %]", "bits/byte", "deepest", "random"] if lost is not None else []
    counts = lost.counts if lost is not None else tuple(range(1, found.depth))
    rows = []
    if lost is not None:
        rows.append(["0", "", "", "", "", interval(lost.whole), number(lost.whole.bits_per_byte), "", ""])
    for n in counts:
        value, error = found.across(n, kind)
        best, last = found.best(n, kind), deepest(found.depth, n)
        row = [str(n), block(best, n), f"{value[best]:.3f} ± {error[best]:.3f}"]
        row += [block(last, n), f"{value[last]:.3f} ± {error[last]:.3f}"]
        if lost is not None:
            nearest_, deep, random = ([r.losses for r in lost.of(choice, n)] for choice in CHOICES)
            drawn = f"{min(x.mean for x in random):.2f} to {max(x.mean for x in random):.2f}" if random else ""
            row += [interval(nearest_[0]), number(nearest_[0].bits_per_byte), f"{deep[0].mean:.3f}", drawn]
        rows.append(row)
    return Table("What can be left out", header, rows)


def block(start: int, n: int) -> str:
    """Write a block of layers.

    >>> block(25, 4), block(7, 1)
    ('25-28', '7')
    """
    return f"{start}-{start + n - 1}" if n > 1 else str(start)


def interval(found: Losses) -> str:
    """Write a loss with its interval."""
    low, high = found.interval
    return f"{found.mean:.3f} [{low:.3f}, {high:.3f}]"


def number(x: float) -> str:
    """Write a number with three decimals, or nothing where there is none."""
    return "" if math.isnan(x) else f"{x:.3f}"


def _notes(found: Distances, lost: Curve | None, kind: Kind) -> list[str]:
    best = found.best(1, kind)
    said = [
        f"The two ends of layer {best} are nearest: {found.across(1, kind)[0][best]:.3f} pi at the "
        f"{'last token' if kind == 'last' else 'mean over tokens'}, over {found.samples} samples."
    ]
    if lost is None:
        return said
    rises = [(r.n, r.losses.above(lost.whole)) for n in lost.counts for r in lost.of("nearest", n)]
    cheap = [n for n, rise in rises if rise.interval[1] < SMALL]
    if cheap:
        said.append(
            f"Without healing, up to {max(cheap)} of {lost.depth} layers can go for a rise of the perplexity that is "
            "surely below 10 %."
        )
    else:
        n, rise = rises[0]
        value, low, high = (100 * math.expm1(x) if not x > 700 else math.inf for x in (rise.mean, *rise.interval))
        said.append(
            f"Without healing, no block that was tried can go for a rise of the perplexity that is surely below 10 %: "
            f"leaving out {n} raises it by {value:.0f} % [{low:.0f}, {high:.0f}]."
        )
    wins = sum(_mean(lost.of("nearest", n)) <= _mean(lost.of("random", n)) for n in lost.counts if lost.of("random", n))
    tried = sum(bool(lost.of("random", n)) for n in lost.counts)
    if tried:
        said.append(f"The nearest block loses no more than random ones on average in {wins} of {tried} sizes.")
    return said


def _mean(removals: Sequence[Removal]) -> float:
    return sum(r.losses.mean for r in removals) / len(removals)


def text_page(name: str, table: Table, notes: Sequence[str]) -> str:
    """Return a table and what is said beside it, for a terminal."""
    widths = [max(len(cell) for cell in column) for column in zip(table.header, *table.rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in (table.header, *table.rows)
    ]
    return "\n".join([name, *lines, "", *notes])


def _document(found: Distances, lost: Curve | None) -> dict[str, Any]:
    """Return everything measured as plain data for JSON."""
    distances_ = {
        kind: [
            {
                "n": n, "nearest": found.best(n, kind), "deepest": deepest(found.depth, n),
                "distance": plain(found.across(n, kind)[0]), "error": plain(found.across(n, kind)[1]),
            }
            for n in range(1, found.depth)
        ]
        for kind in ("last", "mean")
    }  # fmt: skip
    document: dict[str, Any] = {"samples": found.samples, "skipped": found.skipped, "distances": distances_}
    if lost is not None:
        document["whole"] = loss_document(lost.whole)
        document["removals"] = [
            {"choice": r.choice, "n": r.n, "start": r.start, **loss_document(r.losses, lost.whole)}
            for r in lost.removals
        ]
    return document


def loss_document(found: Losses, whole: Losses | None = None) -> dict[str, Any]:
    """Return a loss as plain data: nats per token, interval, perplexity, bits per byte, and the rise over ``whole``."""
    said = {
        "loss": found.mean, "interval": found.interval, "perplexity": found.perplexity,
        "bits_per_byte": found.bits_per_byte, "bits_per_byte_interval": found.bits_per_byte_interval,
    }  # fmt: skip
    if whole is not None:
        said |= {"rise": found.above(whole).mean, "rise_interval": found.above(whole).interval}
    return {name: plain(value) for name, value in said.items()}


def plain(value: Any) -> Any:
    """Return numbers as JSON has them: None where there is none, infinity as a word."""
    if isinstance(value, int | str):
        return value
    return pack(value) if isinstance(value, float) else [pack(x) for x in value]
