"""What was decided on several claims: by position or by id, as JSON, and as something to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phasescope.checks import BadInput, shown

from .tables import as_html, as_markdown, as_text, for_terminal
from .verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


KINDS = {
    "trained": "trained networks",
    "foreign model": "models of others",
    "simulation": "simulations",
    "identity": "identities",
}


def _counted(outcomes: Sequence[str]) -> str:
    count = Counter(outcomes)
    words = [("holds", "hold"), ("fails", "fail"), ("undecided", "undecided")]
    return ", ".join(f"{count[one]} {one if count[one] == 1 else many}" for one, many in words if count[one])


def counted(claims: Sequence[Mapping[str, Any]]) -> str:
    """Return how many claims, as ``Verdict.to_json`` has them, met which verdict; and of each kind apart.

    How many of those that hold repeat our own pilot is said last.

    >>> counted([{"verdict": "holds", "number": "pilot"}])
    '1 holds (1 of those that hold repeats our pilot)'
    >>> counted([{"verdict": "fails", "kind": "trained"}, {"verdict": "holds", "kind": "simulation"}])
    '1 holds, 1 fails (trained networks: 1 fails; simulations: 1 holds)'
    """
    if not claims:
        return "no claims"
    parts = []
    for kind, words in KINDS.items():
        if outcomes := [claim["verdict"] for claim in claims if claim.get("kind") == kind]:
            parts.append(f"{words}: {_counted(outcomes)}")
    if pilots := sum(claim["verdict"] == "holds" and claim.get("number") == "pilot" for claim in claims):
        parts.append(f"{pilots} of those that hold repeat{'s' if pilots == 1 else ''} our pilot")
    return _counted([claim["verdict"] for claim in claims]) + (f" ({'; '.join(parts)})" if parts else "")


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of claims judged together, in the order of the claims; by position or by claim id."""

    verdicts: tuple[Verdict, ...]

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __getitem__(self, key: str | int) -> Verdict:
        if isinstance(key, int):
            return self.verdicts[key]
        for verdict in self.verdicts:
            if verdict.id == key:
                return verdict
        raise KeyError(f"no claim {key!r}; there are {', '.join(verdict.id for verdict in self.verdicts)}")

    def summary(self) -> str:
        """Return how many claims met which verdict, ``"9 hold, 1 fails, 2 undecided"``, and of each kind apart."""
        return counted(self.to_json())

    def to_json(self) -> list[dict[str, Any]]:
        """Return the list under ``"claims"`` of ``phasescope run --json``; see ``Verdict.to_json``."""
        return [verdict.to_json() for verdict in self.verdicts]

    @classmethod
    def from_json(cls, records: Sequence[Mapping[str, Any]]) -> Verdicts:
        """Read what ``to_json`` gave. Raises ``BadInput`` if it is something else."""
        if not isinstance(records, list | tuple):
            raise BadInput(f"these are no verdicts: {shown(records)}; give the list that to_json gave.")
        return cls(tuple(Verdict.from_json(record) for record in records))

    def to_markdown(self) -> str:
        """Return a table in Markdown, with whose number is expected, and why claims that do not hold do not."""
        return as_markdown(self.verdicts)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from for_terminal(self.verdicts, self.summary(), options.max_width)

    def __str__(self) -> str:
        return as_text(self.verdicts, self.summary())

    def details(self) -> str:
        """Return each claim in full: what it says and whose number that is, what was measured, its control, and why."""
        return as_text(self.verdicts, self.summary(), details=True)

    def _repr_html_(self) -> str:
        return as_html(self.verdicts, self.summary())
