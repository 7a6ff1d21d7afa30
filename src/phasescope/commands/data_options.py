"""Options of the commands on a user's data: ``dedup``, ``scores`` and ``quality``. Imports nothing that takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasescope.commands.options import PAGE, AsJson, Finish, Open, place


def register(app: typer.Typer, finish: Finish) -> None:
    """Add the commands to ``app``; ``finish(work, out, as_json, open_)`` carries one out and tells of it."""
    for add in (_dedup, _scores, _quality):
        add(app, finish)


def _dedup(app: typer.Typer, finish: Finish) -> None:
    @app.command("dedup")
    def dedup_(
        path: Annotated[
            Path,
            typer.Argument(
                metavar="FILE_OR_FOLDER",
                help="Texts (.txt, .jsonl), embeddings (.npy, .npz), or a folder of texts or of images.",
            ),
        ],
        embed: Annotated[
            str | None,
            typer.Option(help="tfidf, shingles, model:DIR (texts), pixels, crops (images); found by itself."),
        ] = None,
        epsilon: Annotated[
            float | None, typer.Option(help="Near copies have a cosine above 1 - epsilon; 0.05. For tfidf try 0.3.")
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


def _scores(app: typer.Typer, finish: Finish) -> None:
    @app.command("scores")
    def scores_(
        model: Annotated[str, typer.Argument(help="package.module:factory of a network; its code is run.")],
        data: Annotated[
            Path | None,
            typer.Option(help="Examples: .npz or .safetensors with X and y (and flipped, if some labels were)."),
        ] = None,
        seeds: Annotated[int, typer.Option(help="Of eight networks each; errors are over seeds.")] = 16,
        steps: Annotated[int, typer.Option(help="Of AdamW, for each network.")] = 1000,
        rate: Annotated[float, typer.Option(help="The learning rate.")] = 0.01,
        batch: Annotated[int, typer.Option(help="Examples of a step.")] = 64,
        suspects: Annotated[int, typer.Option(help="How many of the hardest examples are named.")] = 20,
        by: Annotated[str, typer.Option(help="By which score: el2n, grand, accessibility, margin, ...")] = "el2n",
        out: Annotated[
            Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/scores-<model>.")
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """Score examples by many networks: hard ones, suspect labels, what is memorized, with errors. Resumes."""
        from phasescope.commands.scores import Asked, folder_of, scored

        folder = out if out is not None else folder_of(model)
        asked = Asked(model, data, seeds, steps, rate, batch, suspects, by, folder)
        finish(lambda tell: scored(asked, tell), folder, as_json, open_)


def _quality(app: typer.Typer, finish: Finish) -> None:
    @app.command("quality")
    def quality_(
        real: Annotated[
            Path, typer.Argument(metavar="REAL", help="Real samples: .npy, .npz (N, D), or a folder of images.")
        ],
        generated: Annotated[Path, typer.Argument(metavar="GENERATED", help="Generated samples, of the same kind.")],
        k: Annotated[int, typer.Option("--k", help="A sample's ball reaches to its k-th neighbour.")] = 5,
        seed: Annotated[int, typer.Option(help="Of how real samples are halved.")] = 0,
        out: Annotated[
            Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/quality-<name>.")
        ] = None,
        as_json: AsJson = False,
        open_: Open = False,
    ) -> None:
        """Compare generated samples with real ones: precision, recall, copies, and whether to believe these numbers."""
        from phasescope.commands.quality import Asked, compared

        finish(lambda tell: compared(Asked(real, generated, k, seed), tell), out, as_json, open_)
