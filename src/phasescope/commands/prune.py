"""What ``phasescope prune`` does, but for the terminal: choose a block, write the shorter model, heal it if asked."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from phasescope.commands.inspect import Told, page_of
from phasescope.commands.layers import (
    QUESTION,
    Asked,
    Tell,
    block,
    interval,
    load,
    loss_document,
    number,
    plain,
    prepare,
    text_of,
    text_page,
    title_of,
)
from phasescope.figures import Axis, Curves, Figure, Line, Table
from phasescope.inspection.folder import load_folder, load_tokenizer, weight_type
from phasescope.layers.adapters import check_adapters
from phasescope.layers.angular import deepest, distances
from phasescope.layers.checkpoint import check_promise, save
from phasescope.layers.healing import Healed, Numbers, heal
from phasescope.layers.perplexity import Losses, losses
from phasescope.layers.stack import check_block, stack_of, without
from phasescope.layers.text import Samples
from phasescope.store import Store
from phasescope.store.atomic import check_new
from phasescope.vocabulary import BadInput

Row = tuple[str, nn.Module, Losses | None]


@dataclass(frozen=True)
class Healing:
    """How a shorter model is healed; ``steps`` 0: not at all."""

    steps: int
    rank: int
    rate: float
    batch: int
    four_bit: bool


def pruned(asked: Asked, n: int, out: Path, start: int | None, healing: Healing, folder: Path, tell: Tell) -> Told:
    """Write the model without ``n`` layers into ``out``; return what to tell. ``folder`` keeps what resumes healing.

    The block is ``start``; without it the nearest on the text; without text the deepest that keeps the last layer.
    Raises ``BadInput`` for what the user gave that can not be used, before anything long begins where it can.
    """
    kind = asked.kind()
    check_new(out)
    if folder.absolute().is_relative_to(out.absolute()):
        raise BadInput(f"--run {folder} is in --out {out}, which is written at the end: name another folder.")
    if healing.steps < 0:
        raise BadInput(f"--heal is {healing.steps}: give a number of steps, or 0 for none.")
    if healing.steps:
        check_adapters(healing.four_bit)
        Numbers(steps=healing.steps, rank=healing.rank, rate=healing.rate, batch=healing.batch)
    prepare()
    held, training = _texts(asked, healing)
    tell("loading the model")
    model, tokenizer = load(asked), load_tokenizer(asked.model, out)
    depth = stack_of(model).depth
    check_block(depth, start or 0, n)
    if start is None and held is not None:
        found = distances(model, held, batch=asked.batch, on_progress=lambda i, of: tell(f"distances: sample {i}/{of}"))
        start = found.best(n, kind)
    start = deepest(depth, n) if start is None else start
    shorter = without(model, start, n)
    check_promise(shorter)
    rows: list[Row] = [("whole", model, None), ("pruned", shorter, None)]
    if held is not None:
        rows = [(what, part, losses(part, held)) for what, part, _ in rows]
    healed = None
    if healing.steps and training is not None:
        healed = _heal(shorter, training, healing, asked.seed, folder, tell)
    save(shorter if healed is None else healed.model, out, tokenizer, weight_type(asked.model))
    if healed is not None and held is not None:
        read = load_folder(out, next(shorter.parameters()).dtype).to(next(shorter.parameters()).device)
        rows.append(("healed", read, losses(read, held)))  # of what was written, in the type in which it was written
        with Store(folder) as store:
            store.drop_checkpoint(healed.identity)
    return _told(asked, n, start, out, healing, rows, healed)


def _texts(asked: Asked, healing: Healing) -> tuple[Samples | None, Samples | None]:
    """Return the samples held out, and those to heal on: all are random ones of the text, and none is in both."""
    if asked.text is None:
        if healing.steps:
            raise BadInput("there is no --text to heal on: name a text file, or a folder with some.")
        return None, None
    if not healing.steps:
        return text_of(asked, asked.samples), None
    drawn = text_of(asked, asked.samples + healing.steps * healing.batch, fewer=True)
    if len(drawn) <= asked.samples:
        raise BadInput(
            f"{asked.text} makes {len(drawn)} samples of {asked.length} tokens, of which {asked.samples} are held out: "
            "give more text, or a smaller --samples or --length."
        )
    spread = np.linspace(0, len(drawn) - 1, asked.samples).astype(int)
    held = np.zeros(len(drawn), dtype=bool)
    held[spread] = True
    return drawn[np.flatnonzero(held)], drawn[np.flatnonzero(~held)]


def _heal(shorter: nn.Module, text: Samples, healing: Healing, seed: int, folder: Path, tell: Tell) -> Healed:
    with Store(folder) as store:
        return heal(
            shorter, text, healing.steps, rank=healing.rank, rate=healing.rate, batch=healing.batch, seed=seed,
            four_bit=healing.four_bit, keeper=store,
            on_progress=lambda step, of, loss: tell(f"healing: step {step}/{of}, loss {loss:.3f}"),
        )  # fmt: skip


def _told(
    asked: Asked, n: int, start: int, out: Path, healing: Healing,
    rows: list[Row], healed: Healed | None,
) -> Told:  # fmt: skip
    name, (_, model, whole) = type(rows[0][1]).__name__, rows[0]
    depth = stack_of(model).depth
    settings = {"model": str(asked.model), "layers": n, "start": start, "out": str(out), "text": str(asked.text or "")}
    settings |= {"samples": asked.samples, "length": asked.length, "tokens": asked.tokens, "seed": asked.seed}
    if healing.steps:
        settings |= {"heal": healing.steps, "rank": healing.rank, "rate": healing.rate, "heal-batch": healing.batch}
    flags = [f"--{key}={value}" for key, value in settings.items() if key != "model" and value != ""]
    command = shlex.join(["phasescope", "prune", str(asked.model), *flags, *["--four-bit"] * healing.four_bit])
    header = ["model", "layers", "parameters", "nats per token [95 %]", "perplexity", "bits/byte"]
    width = len(header) if whole is not None else 3
    table = Table("Before and after", header[:width], [_row(*row)[:width] for row in rows])
    document: dict[str, Any] = {"model": name, "depth": depth, "settings": settings}
    document |= {what: loss_document(lost, whole) for what, _, lost in rows if lost is not None}
    notes = [f"{out} is the model without layers {block(start, n)} of {depth}." if n else f"{out} is a copy."]
    figures = []
    if healed is not None:
        document["training"] = plain(healed.training)
        notes += [_recovered([lost for _, _, lost in rows if lost is not None], n)]
        figures.append(_figure(healed))
    page = page_of("prune", title_of(name), QUESTION, notes, figures, table, settings, command)
    return Told(f"prune-{out.absolute().name}", "prune.json", text_page(name, table, notes), document, page)


def _row(what: str, model: nn.Module, lost: Losses | None) -> list[str]:
    count = f"{sum(p.numel() for p in model.parameters()):,}"
    if lost is None:
        return [what, str(stack_of(model).depth), count, "", "", ""]
    depth, perplexity = str(stack_of(model).depth), f"{lost.perplexity:.1f}"
    return [what, depth, count, interval(lost), perplexity, number(lost.bits_per_byte)]


def _recovered(found: list[Losses], n: int) -> str:
    """Say which part of the loss healing took back; its interval is over samples, by the paired differences."""
    whole, cut, healed = found
    rise, back = cut.above(whole), cut.above(healed)
    by = "{:.3f} [{:.3f}, {:.3f}]".format(back.mean, *back.interval)
    if not n:
        return f"The steps lower the whole model's loss on this text by {by} nats per token."
    share = f", {100 * back.mean / rise.mean:.0f} % of what was lost" if rise.mean > 0 else ""
    more = ": more than all, so it learnt the text itself" if share and back.mean > rise.mean else ""
    return (
        f"Leaving them out costs {rise.mean:.3f} nats per token; healing takes back {by}{share}{more}. What the text "
        "alone gives, the whole model says after the same steps: --layers 0."
    )


def _figure(healed: Healed) -> Figure:
    steps = np.arange(1, len(healed.training) + 1, dtype=float)
    panel = Curves(
        "Healing", Axis("step"), Axis("nats per token, training"), [Line("loss of the step", steps, healed.training)]
    )
    return Figure("healing", "The loss while healing", "Each step is on other samples of the text.", [panel])
