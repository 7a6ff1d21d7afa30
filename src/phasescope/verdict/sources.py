"""Where a claim's number comes from: a place that a reader can open, or an honest word that there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from phasescope.checks import BadInput, flag, shown

SourceKind = Literal["paper", "code", "derived", "ours", "pilot"]
NUMBERS: tuple[SourceKind, ...] = ("pilot", "ours", "derived", "code", "paper")  # whose number it is, where several
NOWHERE = (
    (re.compile(r"\bclaims? \d", re.I), "a claim's number in notes that no reader has"),
    (re.compile(r"\bfacts\b", re.I), "notes that no reader has"),
    (re.compile(r"\b(a|the|an?other|independent) (reproduction|script|code)\b(?! of| by)", re.I), "a nameless one"),
    (re.compile(r"\bmeasured before\b|\bas (quoted|read) by\b", re.I), "nobody who could be asked"),
)


@dataclass(frozen=True)
class Source:
    """Where the number that a claim expects comes from, so that a reader can look it up.

    One of: ``paper``, the place in the study's paper or another one ("Fig. 1", "Papyan et al. 2020, eq. 3"); ``code``,
    a file of the authors' code; ``derived``, a theorem or function here ("theory.modular_addition.unit_logit_scale");
    ``ours``, why it is asked though nobody claimed it; ``pilot``, what we measured ourselves before, where, and on
    which seeds. ``paper`` may stand beside another: the paper then says it, and the number is from there.

    ``value`` is what is given there; ``tolerance`` says where the tolerance comes from: a theorem, the reading error
    of a figure, the smallest effect that matters, a pilot on other seeds. ``checked``: somebody has opened the paper or
    code at that place and read it; otherwise readers are told that the place was not checked.

    Raises ``BadInput`` for none, for two numbers' sources, and for words that nobody can look up.

    >>> print(Source(paper="Fig. 4a", ours="less than three times chance is no generalization"))
    Fig. 4a (place not checked); the number is ours: less than three times chance is no generalization
    """

    paper: str = ""
    code: str = ""
    derived: str = ""
    ours: str = ""
    pilot: str = ""
    value: str = ""
    tolerance: str = ""
    checked: bool = False

    def __post_init__(self) -> None:
        for name in (*NUMBERS, "value", "tolerance"):
            self._look(name, getattr(self, name))
        flag("checked, of a source,", self.checked)
        given = [name for name in NUMBERS if getattr(self, name)]
        if not given:
            raise BadInput(
                "a source is empty: give the place in the paper, the authors' code, what it is derived from, why it is "
                "ours, or the pilot that measured it: Source(paper='Fig. 1')."
            )
        others = [name for name in given if name != "paper"]
        if len(others) > 1:
            raise BadInput(f"a source names {' and '.join(others)}: say from which of them the number is.")

    def _look(self, name: str, words: object) -> None:
        if not isinstance(words, str):
            raise BadInput(f"{name} of a source is {shown(words)}: give words.")
        if words and (not words.strip() or not words.isprintable()):
            raise BadInput(f"{name} of a source is {shown(words)}: give words on one line, or leave it out.")
        for pattern, what in NOWHERE:
            if found := pattern.search(words):
                raise BadInput(
                    f"the source {shown(words)} names {found[0]!r}, {what}: name a place that a reader can open, or "
                    "say that the number is ours, or our pilot's."
                )

    @property
    def kind(self) -> SourceKind:
        """Whose the number is: "pilot", "ours", "derived", "code" or "paper"."""
        return next(name for name in NUMBERS if getattr(self, name))

    def __str__(self) -> str:
        unchecked = "" if self.checked else " (place not checked)"
        said = [f"{self.paper}{unchecked}"] if self.paper else []
        words = {
            "code": f"the authors' code, {self.code}{unchecked}",
            "derived": f"derived here, {self.derived}",
            "ours": f"{'the number is ours' if said else 'ours'}: {self.ours}",
            "pilot": f"{'the number repeats' if said else 'repeats'} our pilot: {self.pilot}",
        }
        said += [words[self.kind]] if self.kind != "paper" else []
        said += [f"value: {self.value}"] if self.value else []
        said += [f"tolerance: {self.tolerance}"] if self.tolerance else []
        return "; ".join(said)
