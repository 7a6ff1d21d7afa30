"""Options of the command line, and ``encode``, ``layers`` and ``prune``. Imports nothing that takes time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

MOST_CHARACTERS, MOST_BRACKETS = 20_000, 200  # of a setting


def place(text: str) -> Path:
    """Return the folder that an option names; an empty one would be the current folder, unasked."""
    if not text.strip():
        raise typer.BadParameter("it is empty; give the path of a folder: the current one is '.'")
    return Path(text)


def names_of(text: str | None) -> list[str] | None:
    """Return the names in a list with commas, or None where nothing is given."""
    return [name.strip() for name in text.split(",")] if text else None


def seconds_of(budget: str | None) -> float | None:
    """Return the seconds of 90s, 10m or 2h; a bare number is seconds. Raises ``BadInput``."""
    from phasescope.errors import BadInput

    if budget is None:
        return None
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", budget.strip())
    if not found or not float(found[1]):
        raise BadInput(f"--budget is {budget!r}: give a time such as 90s, 10m or 2h.")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def workers_of(text: str | None) -> dict[str, int | str]:
    """Return what ``--workers`` says: how many of this machine, or who does the work elsewhere. Raises ``BadInput``."""
    from phasescope.errors import BadInput

    if text is None:
        return {}
    if re.fullmatch(r"\d{1,4}", text) and int(text):
        return {"workers": int(text)}
    if re.fullmatch(r"[+-]?[\d.]+", text):
        raise BadInput(f"--workers is {text}: give a whole number from 1 to 9999, ray, ray://host:10001 or slurm.")
    return {"executor": text}


def changes_of(pairs: list[str] | None) -> dict[str, Any]:
    """Return the settings that ``--set`` changes, by name. Raises ``BadInput`` for what is not NAME=VALUE."""
    from phasescope.errors import BadInput

    changes: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise BadInput(f"--set {pair!r} is not NAME=VALUE: write, for example, --set p=31.")
        if name in changes:
            raise BadInput(f"--set {name}= is there more than once: give each setting one value.")
        changes[name] = _value(name, text)
    return changes


def _value(name: str, text: str) -> Any:
    """Return the value that JSON writes, or the text itself where it is no JSON. Raises ``BadInput``."""
    from phasescope.errors import BadInput

    if len(text) > MOST_CHARACTERS or sum(map(text.count, "[{")) > MOST_BRACKETS:
        raise BadInput(
            f"--set {name}={text[:40]}... has {len(text):,} characters: at most {MOST_CHARACTERS:,}, and "
            f"{MOST_BRACKETS} brackets, are read."
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
    except ValueError:  # Python reads no whole number of so many digits
        raise BadInput(f"--set {name}={text[:40]}... has too many digits: give a smaller number.") from None


def studies(begun: str = "") -> list[str]:
    """Return the names of studies that begin so, for shells that complete words; imports none of them."""
    return sorted(name for name in entry_points(group="phasescope.studies").names if name.startswith(begun))


Study = Annotated[str, typer.Argument(help="The study's name; see phasescope list.", autocompletion=studies)]
Folder = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A local Hugging Face folder of a decoder.")]
Text = Annotated[Path | None, typer.Option(help="A text file, or a folder with some.")]
Length = Annotated[int, typer.Option(help="Tokens of a sample.")]
Batch = Annotated[int | None, typer.Option(help="Samples run at a time; default about 2,048 tokens.")]
Seed = Annotated[int, typer.Option(help="Of the samples taken from the text, and of all that is random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser at the end.")]
PAGE = "Where the page goes"
Finish = Callable[[Callable[[Callable[[str], None]], Any], Path | None, bool, bool], None]


def register(app: typer.Typer, finish: Finish) -> None:
    """Add the commands to ``app``; ``finish(work, out, as_json, open_)`` carries one out and tells of it."""
    _register_encode(app, finish)

    @app.command("layers")
    def layers_(
        model: Folder,
        text: Text = None,
        samples: Annotated[int, typer.Option(help="Samples on which distances are read.")] = 64,
        length: Length = 512,
        scored: Annotated[int, typer.Option(help="Of these, samples on which losses are read; 0: none.")] = 8,
        draws: Annotated[int, typer.Option(help="Random blocks of each size, the control.")] = 3,
        skip: Annotated[int, typer.Option(help="Tokens at the start of a sample left out of the mean.")] = 1,
        tokens: Annotated[str, typer.Option(help="last or mean: whose distances choose the block.")] = "last",
        batch: Batch = None,
        seed: Seed = 0,
        device: Device = "auto",
        out: Annotated[
            Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/layers-<model>.")
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """Which layers of a language model can go: distances between layers, and losses without some of them."""
        from phasescope.commands.layers import Asked, layers

        asked = Asked(model, text, samples, length, batch, seed, device, tokens)
        finish(lambda tell: layers(asked, scored=scored, draws=draws, skip=skip, tell=tell), out, as_json, open_)

    @app.command("prune")
    def prune_(
        model: Folder,
        layers: Annotated[int, typer.Option(help="How many layers to leave out.")],
        out: Annotated[Path, typer.Option(parser=place, metavar="PATH", help="The new folder of the shorter model.")],
        start: Annotated[int | None, typer.Option(help="The first of them, counted from 0; found by itself.")] = None,
        text: Text = None,
        samples: Annotated[int, typer.Option(help="Samples held out, on which the block and losses are read.")] = 16,
        length: Length = 512,
        tokens: Annotated[str, typer.Option(help="last or mean: whose distances choose the block.")] = "last",
        heal: Annotated[int, typer.Option(help="Steps of healing.")] = 0,
        rank: Annotated[int, typer.Option(help="Of the adapters.")] = 64,
        rate: Annotated[float, typer.Option(help="The highest learning rate.")] = 3e-4,
        heal_batch: Annotated[int, typer.Option(help="Samples of a step of healing.")] = 16,
        four_bit: Annotated[bool, typer.Option("--four-bit", help="Heal over weights in 4 bits (CUDA).")] = False,
        batch: Batch = None,
        seed: Seed = 0,
        device: Device = "auto",
        run: Annotated[
            Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/prune-<out>.")
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """Write a language model without some of its layers as a new checkpoint, healed if asked. Resumes healing."""
        from phasescope.commands.layers import Asked
        from phasescope.commands.prune import Healing, pruned

        asked = Asked(model, text, samples, length, batch, seed, device, tokens)
        healing = Healing(heal, rank, rate, heal_batch, four_bit)
        folder = run if run is not None else Path("runs") / f"prune-{out.absolute().name}"
        finish(lambda tell: pruned(asked, layers, out, start, healing, folder, tell), folder, as_json, open_)


def _register_encode(app: typer.Typer, finish: Finish) -> None:
    @app.command("encode")
    def encode_(
        features: Annotated[Path, typer.Argument(help="One array (N, D) per layer: .npz, .npy or .csv.")],
        responses: Annotated[Path, typer.Argument(help="(N, Q), or (R, N, Q) with repeats: .npz, .npy or .csv.")],
        baseline: Annotated[Path | None, typer.Option(help="Features of an untrained network, likewise.")] = None,
        groups: Annotated[
            Path | None, typer.Option(help="A whole number per stimulus: one group is held out together.")
        ] = None,
        folds: Annotated[int, typer.Option(help="Parts of the stimuli that are held out in turn.")] = 5,
        draws: Annotated[int, typer.Option(help="Shuffles of the stimuli for the null.")] = 20,
        seed: Annotated[int, typer.Option(help="Of folds and shuffles.")] = 0,
        out: Annotated[
            Path | None,
            typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/encode-<features>-<responses>."),
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """Say how much of measured responses a model's features explain, layer by layer, and how much there was."""
        from phasescope.commands.encode import Asked, encoded_files

        asked = Asked(features, responses, baseline, groups, folds, draws, seed)
        finish(lambda tell: encoded_files(asked, tell), out, as_json, open_)
