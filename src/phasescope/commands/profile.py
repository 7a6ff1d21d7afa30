"""What ``phasescope profile`` does, but for files and the terminal: load, profile, and say what the page shows."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from phasescope.checks import whole
from phasescope.commands.inspect import Told, folder_name, given, loaded, page_of
from phasescope.figures import Table
from phasescope.inspection.batches import users_code
from phasescope.inspection.load import TOKENS
from phasescope.representation.profile import profile
from phasescope.representation.profile_result import WORDS

QUESTION = "What is the shape of each layer: how many dimensions, and how evenly are they used?"


def folder_of(model: str) -> Path:
    """Return the folder of a profile of ``model``."""
    return Path("runs") / f"profile-{folder_name(Path(model).name or model)}"


def profiled(
    model: str, batch: Path | None, places: Sequence[str] | None, by: str, points: int, folder: Path,
    tell: Callable[[str], object],
) -> Told:  # fmt: skip
    """Load ``model`` and ``batch`` by name and profile; places that are done are kept in ``folder``.

    A text becomes samples of 64 tokens, as many as the points need. Raises ``BadInput`` without a batch, and what
    ``load_model``, ``load_batch`` and ``profile`` raise.
    """
    batch = given(batch)
    points = whole(1, 10**6)("--points", points)
    module, inputs = loaded(model, batch, rows=points if by == "sample" else -(-points // (TOKENS - 1)))

    def progress(what: str, done: int, total: int) -> None:
        tell(f"profiling {type(module).__name__}: {what}, {done}/{total}")

    name = Path(model).name or model
    options: dict[str, Any] = {"by": by, "points": points}
    with users_code(model, always=False):
        found = profile(module, inputs, places=places, name=name, out=folder, on_progress=progress, **options)
    header, rows = found.table()
    command = ["phasescope", "profile", model, "--batch", str(batch), "--by", by, "--points", str(points)]
    command += ["--places", ",".join(places)] if places else []
    page = page_of(
        "profile", f"{name}: the shape of each layer", QUESTION, [f"{found.summary()}.", *WORDS, *found.notes],
        [found.figure()], Table("Place by place", header, rows), {"model": model, "batch": str(batch), **options},
        shlex.join(command),
    )  # fmt: skip
    return Told(folder.name, "profile.json", str(found), found.to_json(), page)
