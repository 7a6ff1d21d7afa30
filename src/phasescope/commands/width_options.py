"""Options of the command ``width``. Imports nothing that takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasescope.commands.options import PAGE, AsJson, Finish, Open, place


def register(app: typer.Typer, finish: Finish) -> None:
    """Add the command to ``app``; ``finish(work, out, as_json, open_)`` carries it out and tells of it."""

    @app.command("width")
    def width_(
        builder: Annotated[
            str, typer.Argument(help="package.module:builder, a function of the width; its code is run.")
        ],
        data: Annotated[
            Path | None, typer.Option(help="Examples: .npz or .safetensors with the arrays X and y.")
        ] = None,
        widths: Annotated[str, typer.Option(help="Three or more, with commas.")] = "64,128,256,512,1024",
        parametrization: Annotated[
            str, typer.Option(help="given, or mup or ntk, made from the builder; beside it, the builder as it is.")
        ] = "given",
        optimizer: Annotated[str, typer.Option(help="sgd, nesterov, adam, adamw, rmsprop, lion or muon.")] = "adam",
        rate: Annotated[float, typer.Option(help="The learning rate, at the first width.")] = 0.001,
        steps: Annotated[int, typer.Option(help="After which changes are read.")] = 3,
        seeds: Annotated[int, typer.Option(help="Networks of each width.")] = 8,
        rates: Annotated[
            str | None, typer.Option(help="Rates with commas, in equal ratios: whether the best one transfers, too.")
        ] = None,
        train: Annotated[int, typer.Option(help="With --rates: steps of each network.")] = 100,
        out: Annotated[
            Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/width-<builder>.")
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """Check what changes with width: do layers learn alike, and does the learning rate transfer. Resumes."""
        from phasescope.commands.width import Asked, checked, folder_of

        folder = out if out is not None else folder_of(builder)
        asked = Asked(builder, data, widths, parametrization, optimizer, rate, steps, seeds, rates, train, folder)
        finish(lambda tell: checked(asked, tell), folder, as_json, open_)
