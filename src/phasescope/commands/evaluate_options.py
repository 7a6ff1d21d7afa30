"""Options of the command ``evaluate``. Imports nothing that takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasescope.commands.options import PAGE, AsJson, Device, Finish, Open, place


def register(app: typer.Typer, finish: Finish) -> None:
    """Add the command to ``app``; ``finish(work, out, as_json, open_)`` carries it out and tells of it."""

    @app.command("evaluate")
    def evaluate_(
        models: Annotated[
            list[Path] | None,
            typer.Argument(metavar="MODEL_DIR...", help="Hugging Face folders; the first is the reference."),
        ] = None,
        scenario: Annotated[
            list[str] | None,
            typer.Option(
                help="A scenario's name, a text, or lm-eval:TASK; again for more. Without: what needs no data."
            ),
        ] = None,
        metric: Annotated[
            list[str] | None, typer.Option(help="A metric, calibration or efficiency; again for more. Without: all.")
        ] = None,
        task: Annotated[
            list[Path] | None, typer.Option(help="A file of questions, choices, answers: .json, .jsonl or .csv.")
        ] = None,
        limit: Annotated[int, typer.Option(help="Items of a scenario; 0: all.")] = 200,
        shots: Annotated[int, typer.Option(help="Answered examples before each question.")] = 0,
        draws: Annotated[int, typer.Option(help="Draws of the examples.")] = 1,
        perturbations: Annotated[int, typer.Option(help="Of each question, for robustness.")] = 1,
        compare: Annotated[
            bool, typer.Option("--compare", help="Each model less the reference, on the same items.")
        ] = False,
        names: Annotated[bool, typer.Option("--list", help="List the scenarios and metrics.")] = False,
        batch: Annotated[int | None, typer.Option(help="Passes at a time; default about 2,048 tokens.")] = None,
        seed: Annotated[int, typer.Option(help="Of the items, the examples and the perturbations.")] = 0,
        device: Device = "auto",
        out: Annotated[
            Path | None,
            typer.Option(
                parser=place, metavar="PATH", help=f"{PAGE}, and what is done; default runs/evaluate-<model>."
            ),
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """Evaluate language models: many metrics and scenarios, compared on the same items. Resumes where stopped."""
        from phasescope.commands.evaluate import Asked, evaluated, folder_of, given, listed

        if names:
            print(listed())
            return
        folders = given(models)
        folder = out if out is not None else folder_of(folders)
        chosen = [*(scenario or []), *map(str, task or [])]
        asked = Asked(folders, chosen, metric, limit, shots, draws, perturbations, batch, seed, device, compare)
        finish(lambda tell: evaluated(asked, folder, tell), folder, as_json, open_)
