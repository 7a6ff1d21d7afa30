"""What is claimed: an expectation fixed before any run, the effect, and the control that must not show it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, Literal, get_args

from phasescope.checks import BadInput, flag, function, kind, number, shown, text, word
from phasescope.notebooks import facts
from phasescope.vocabulary import Kind

from .effects import Cell, Measure, control_of
from .sources import Source

Statistic = Literal["median", "mean", "proportion"]
Effect = Callable[[Any], Any]
"""Takes results, a dataset or experiments by name, to an array (n,); see ``Measured`` for those that are data."""


Range = tuple[float, float]
REALS: Range = (-math.inf, math.inf)
"""The range of an effect of which nothing is said."""
_end = number(-math.inf, math.inf)


def range_of(range: Range) -> Range:
    """Return the range of an effect as two floats. Raises ``BadInput`` for anything else, and for an empty one."""
    if not isinstance(range, tuple | list) or len(range) != 2:
        raise BadInput(f"the range of an effect is {shown(range)}: give what it can be, (0, 1), or (0, math.inf).")
    low, high = _end("the lower end of a range", range[0]), _end("the upper end of a range", range[1])
    if not low < high:
        raise BadInput(f"the range of an effect is {shown(range)}: give low < high.")
    return low, high


@dataclass(frozen=True)
class Expectation:
    """The closed range ``[low, high]`` in which a claim expects its effect, in its unit; a side may be
    infinite.

    ``text`` is how readers see it, made from the numbers unless given. Raises ``BadInput`` for an empty
    range, for NaN, and for the whole line, which nothing could contradict.

    >>> print(Expectation.near(4, 0.4), "|", Expectation.at_least(0.95), "|", Expectation.between(1.25, 1.45))
    4 ± 0.4 | >= 0.95 | in [1.25, 1.45]
    """

    low: float
    high: float
    text: str = ""

    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, _end(end, getattr(self, end)))
        if not isinstance(self.text, str):
            raise BadInput(f"the text of an expectation is {shown(self.text)}: give words, or leave it out.")
        if not self.low <= self.high:
            raise BadInput(f"expectation [{self.low}, {self.high}] is empty: give low <= high, neither of them NaN.")
        if self.low == -math.inf and self.high == math.inf:
            raise BadInput("expectation [-inf, inf] is met by everything: bound it on at least one side.")
        if not self.text:
            object.__setattr__(self, "text", self._describe())

    def _describe(self) -> str:
        if self.low == self.high:
            return f"= {self.low:g}"
        if self.high == math.inf:
            return f">= {self.low:g}"
        if self.low == -math.inf:
            return f"<= {self.high:g}"
        return f"in [{self.low:g}, {self.high:g}]"

    def __str__(self) -> str:
        return self.text

    @classmethod
    def near(cls, value: float, tolerance: float) -> Expectation:
        """Expect ``value`` within ``tolerance`` >= 0, an absolute difference in the effect's unit."""
        value, tolerance = number()("near: the value", value), number(0)("near: the tolerance", tolerance)
        return cls(value - tolerance, value + tolerance, f"{value:g} ± {tolerance:g}")

    @classmethod
    def at_least(cls, x: float) -> Expectation:
        """Expect ``x`` or more; ``at_least(inf)`` expects what never happens."""
        x = _end("the least", x)
        return cls(x, math.inf, f">= {x:g}")

    @classmethod
    def at_most(cls, x: float) -> Expectation:
        """Expect ``x`` or less."""
        x = _end("the most", x)
        return cls(-math.inf, x, f"<= {x:g}")

    @classmethod
    def between(cls, a: float, b: float) -> Expectation:
        """Expect a value from ``a`` to ``b``, both included."""
        a, b = _end("a", a), _end("b", b)
        return cls(a, b, f"in [{a:g}, {b:g}]")

    def contains(self, low: float, high: float) -> bool:
        """Whether ``[low, high]`` lies wholly inside; false where either is NaN."""
        return self.low <= low and high <= self.high

    def excludes(self, low: float, high: float) -> bool:
        """Whether ``[low, high]`` shares no point with the range; false where either is NaN."""
        return high < self.low or low > self.high


@dataclass(frozen=True)
class Control:
    """What must not show the effect: its ``sentence``, and ``effect`` as in ``Claim``, in the same unit.

    Where the claim's effect is a measure at a cell, the control may be another cell, or another measure at that cell.
    It is the nearest rival explanation, measured in the same run. ``deterministic``: see ``Claim``.
    """

    sentence: str
    effect: Effect | Cell | Measure
    deterministic: bool = False

    def __post_init__(self) -> None:
        text("the sentence of a control, which says what must not show the effect,", self.sentence)
        if not isinstance(self.effect, Cell):
            function("the effect of a control", self.effect)
        flag("deterministic, of a control,", self.deterministic)


@dataclass(frozen=True)
class Claim:
    """One sentence that a run can support or contradict, with everything fixed before the run.

    ``effect`` is a measure at a cell, such as ``end("test_accuracy")(at("gd", train_fraction=0.8))``, or a
    function that takes the results (experiments by name, or one ``xarray.Dataset``) to an array (n,), one value per
    seed, in ``unit``; ``inf`` is a value ("never happened"), NaN is none. ``statistic`` says what of its distribution
    over seeds is expected in ``expected``: the ``median`` (the default), the ``proportion`` of seeds for which the
    effect is 1 rather than 0, or the ``mean`` of an effect with a ``range``.

    ``range`` is what the effect can be, (0, 1) for an accuracy: no interval leaves it. ``deterministic`` says that the
    effect does not depend on the seed, which is checked; two seeds then do. ``counts`` says what n counts where it is
    not seeds: "draws of text". ``kind`` says what is measured: an "identity" of mathematics, a "simulation" (networks
    as they are initialized included), something "trained", or a "foreign model"; a study derives it where it is empty.
    Raises ``BadInput`` for an empty id or sentence, an unknown statistic or kind, a mean without a range.
    """

    id: str
    sentence: str
    source: Source
    effect: Effect
    expected: Expectation
    control: Control
    statistic: Statistic = "median"
    unit: str = ""
    kind: Kind | Literal[""] = ""
    range: Range = REALS
    deterministic: bool = False
    counts: str = "seeds"

    def _repr_html_(self) -> str:
        measured = "a function of the results" if isinstance(self.effect, FunctionType) else str(self.effect)
        rows = [("claim", self.sentence), ("source", str(self.source)), ("measured", f"{self.statistic} of {measured}")]
        rows += [("expected", str(self.expected)), ("control", self.control.sentence)]
        return facts(self.id, rows)

    def __post_init__(self) -> None:
        for name in ("id", "sentence", "counts"):
            text(f"the {name} of a claim", getattr(self, name))
        if not self.counts.isprintable() or len(self.counts) > 60:
            raise BadInput(f"claim {self.id!r} counts {shown(self.counts)}: give a few words, such as 'draws of text'.")
        kind(Source, say="a ps.Source, such as ps.Source(paper='Fig. 1') or ps.Source(ours='why it is asked')")(
            f"the source of claim {self.id!r}", self.source
        )
        if isinstance(self.effect, Measure):
            raise BadInput(f"the effect of claim {self.id!r} is a measure: say where, measure(ps.at(experiment, ...)).")
        function(f"the effect of claim {self.id!r}", self.effect)
        kind(Expectation, say="an Expectation, such as Expectation.at_least(0.9)")(
            f"what claim {self.id!r} expects", self.expected
        )
        kind(Control, say="a Control(sentence, effect)")(f"the control of claim {self.id!r}", self.control)
        placed = control_of(self.id, self.effect, self.control.effect)
        if placed is not self.control.effect:
            object.__setattr__(self, "control", replace(self.control, effect=placed))
        word(*get_args(Statistic))(f"claim {self.id!r}: statistic", self.statistic)
        if self.kind != "":
            word(*get_args(Kind))(f"claim {self.id!r}: kind", self.kind)
        flag(f"deterministic, of claim {self.id!r},", self.deterministic)
        if (self.deterministic or self.control.deterministic) and self.statistic != "median":
            raise BadInput(
                f"claim {self.id!r} is deterministic: its {self.statistic} is the number itself; ask for the median."
            )
        if self.statistic == "proportion" and self.range == REALS:
            object.__setattr__(self, "range", (0.0, 1.0))
        self._check_range()
        if not isinstance(self.unit, str):
            raise BadInput(f"the unit of claim {self.id!r} is {shown(self.unit)}: give a word, or '' for a number.")

    def _check_range(self) -> None:
        low, high = range_of(self.range)
        object.__setattr__(self, "range", (low, high))
        if self.expected.contains(low, high):
            raise BadInput(
                f"claim {self.id!r} expects {self.expected}, which is all that its effect is said to be, "
                f"[{low}, {high}]: nothing could contradict it."
            )
        if self.expected.low > high or self.expected.high < low:
            raise BadInput(
                f"claim {self.id!r} expects {self.expected}, and its effect is said to be in [{low}, {high}]."
            )
        if self.statistic == "mean" and (low, high) == REALS:
            raise BadInput(
                f"claim {self.id!r} is about a mean, which nothing bounds unless the effect has a range: ask for the "
                "median, or say what the effect can be, such as range=(0, 1)."
            )
