"""The commands ``claims``, ``papers`` and ``paper``: what of which paper is checked here, and how it came out."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from phasescope.commands.options import AsJson
from phasescope.commands.telling import console

Words = Annotated[list[str] | None, typer.Argument(metavar="[WORDS]", help="Words that all must be there.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""

    @app.command("claims")
    def claims_(
        words: Words = None,
        details: Annotated[
            bool, typer.Option("--details", help="Tell each in full: source, expectation, runs.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Search the claims of all studies, each with its verdict in the runs stored with this version."""
        from phasescope.papers.claims import claims

        found = claims(" ".join(words or []))
        _say(found.to_json(), as_json, found.details() if details else str(found))

    @app.command("papers")
    def papers_(
        words: Words = None,
        all_: Annotated[bool, typer.Option("--all", help="Also papers that nothing here serves.")] = False,
        page: Annotated[
            bool, typer.Option("--page", help="Compute all checks, and print the docs' page of them.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """List the papers that are served here, and by what: a study, an instrument, theory, a check."""
        from rich.text import Text

        from phasescope.papers import find
        from phasescope.papers.telling import computed, page_of

        if page:
            with console(stderr=True).status("loading") as status:
                reports = computed(lambda words: status.update(Text(words)))
            print(page_of(reports), end="")
            return
        found = find(" ".join(words or []), absent=all_)
        _say(found.to_json(), as_json, str(found))

    @app.command("paper")
    def paper_(
        name: Annotated[
            list[str], typer.Argument(metavar="PAPER", help="An id, an arXiv number, or words of its title.")
        ],
        as_json: AsJson = False,
    ) -> None:
        """Check a paper: compute what it states, a few seconds, and tell how that came out."""
        from phasescope.papers import check

        with console(stderr=True).status("computing what the paper states"):
            found = check(" ".join(name))
        _say(found.to_json(), as_json, str(found))


def _say(document: Any, as_json: bool, words: str) -> None:
    print(json.dumps(document, allow_nan=False) if as_json else words)
