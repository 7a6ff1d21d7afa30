"""Options of the commands on a user's data: ``dedup``. Imports nothing that takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasescope.commands.options import PAGE, AsJson, Finish, Open, place


def register(app: typer.Typer, finish: Finish) -> None:
    """Add the commands to ``app``; ``finish(work, out, as_json, open_)`` carries one out and tells of it."""

    @app.command("dedup")
    def dedup_(
        path: Annotated[
            Path,
            typer.Argument(metavar="FILE_OR_FOLDER", help="Texts (.txt, .jsonl), embeddings (.npy); texts or images."),
        ],
        embed: Annotated[
            str | None, typer.Option(help="tfidf, shingles or model:DIR for texts, pixels for images; found by itself.")
        ] = None,
        epsilon: Annotated[
            float | None, typer.Option(help="Near copies have a cosine above 1 - epsilon; 0.05.")
        ] = None,
        keep: Annotated[
            float | None, typer.Option(help="Or the least share to keep, from which epsilon follows.")
        ] = None,
        rule: Annotated[str, typer.Option(help="paper, or leader, which chains of copies do not mislead.")] = "paper",
        order: Annotated[str, typer.Option(help="Who is kept of a group: hard, random or easy.")] = "hard",
        clusters: Annotated[str, typer.Option(help="auto, or how many; 1 compares all pairs.")] = "auto",
        sample: Annotated[int, typer.Option(help="Items compared with all others, for what clusters hide.")] = 1000,
        length: Annotated[int, typer.Option(help="Tokens after which a text is cut, with model:DIR.")] = 64,
        seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
        out: Annotated[
            Path | None,
            typer.Option(parser=place, metavar="PATH", help=f"{PAGE}, and kept.txt; default runs/dedup-<name>."),
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """De-duplicate texts, images or embeddings: near copies, what to keep, what the search missed. Resumes."""
        from phasescope.commands.dedup import Asked, deduped, folder_of

        folder = out if out is not None else folder_of(path)
        asked = Asked(path, embed, epsilon, keep, clusters, rule, order, length, sample, seed, folder)
        finish(lambda tell: deduped(asked, tell), folder, as_json, open_)
