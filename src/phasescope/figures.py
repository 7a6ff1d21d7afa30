"""The building blocks of figures: what a study shows, as plain data. ``report`` draws them, on paper and on a page.

A study describes its figures in these words and writes no drawing code, so the same description serves every medium.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from phasescope.vocabulary import Array, Knob

SENTENCE = 40  # signs; a longer cell of a table is a sentence


@dataclass(frozen=True)
class Axis:
    """An axis: its label with unit, its scale, and limits where the data should not decide.

    With ``names`` of categories it is linear, and the places 0, 1, 2, ... bear them instead of numbers.
    """

    label: str
    scale: Literal["linear", "log"] = "linear"
    limits: tuple[float, float] | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Line:
    """One series: ``x``, ``y`` (n,), with a band from ``low`` to ``high`` (n,) where it has one.

    ``role``: measured data are drawn with points and bands, theory as a plain line, a control dashed. ``joined``
    False draws the points of measured data alone, each with a bar from ``low`` to ``high``: a scatter.
    """

    label: str
    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None
    role: Literal["measured", "theory", "control"] = "measured"
    joined: bool = True


@dataclass(frozen=True)
class Curves:
    """Series over a common axis; ``marks`` are labelled vertical lines (x, label)."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class HeatMap:
    """A quantity over two axes: ``values`` (len(y_values), len(x_values)), with a level drawn as the boundary.

    ``missing`` says what a place without a finite value means. ``lines`` are drawn over the cells, theory's boundary
    for example.
    """

    title: str
    x: Axis
    y: Axis
    x_values: Array
    y_values: Array
    values: Array
    label: str
    boundary: float | None = None
    limits: tuple[float, float] | None = None
    missing: str = "no finite value"
    lines: Sequence[Line] = ()


@dataclass(frozen=True)
class PhaseMap:
    """Which phase reigns where over two axes: ``values`` (len(y_values), len(x_values)) index ``phases``, -1 unknown.

    ``sampled`` (same shape) marks the places that were measured, the others were inferred; None: all were measured.
    ``uncertain`` (same shape) marks the places whose phase is not known to the confidence asked for. ``boundary``
    (n, 4): places (x, y) where the phase changes, each between ``low`` and ``high`` along the line that crosses there,
    as columns x, y, low, high, with ``boundary_along`` (n,) 0 where that line runs along x and 1 where along y.
    """

    title: str
    x: Axis
    y: Axis
    x_values: Array
    y_values: Array
    values: Array
    phases: Sequence[str]
    sampled: Array | None = None
    uncertain: Array | None = None
    boundary: Array | None = None
    boundary_along: Array | None = None


@dataclass(frozen=True)
class Histogram:
    """Distributions of named samples over common bins, each normalized to a share; ``marks`` as in ``Curves``."""

    title: str
    x: Axis
    samples: Sequence[tuple[str, Array]]
    bins: int = 40
    marks: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Table:
    """A table as text: ``header`` names the columns, the first of which names the ``rows``."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def wordy(self) -> tuple[bool, ...]:
        """Which columns hold sentences, with a cell of more than 40 signs: they are read in lines, from the left.

        >>> Table("a", ("row", "size", "text"), [["1", "0.5", "word " * 20]]).wordy
        (False, False, True)
        """
        return tuple(
            any(len(cell) > SENTENCE for cell in column) for column in zip(self.header, *self.rows, strict=True)
        )


@dataclass(frozen=True)
class Choice:
    """Tables with one ``header``, of which a reader chooses one: by the name of a group, then by its own.

    ``groups`` name -> tables, each its name and its rows of text. Without a script a page shows the first.
    """

    title: str
    caption: str
    header: Sequence[str]
    groups: Mapping[str, Sequence[tuple[str, Sequence[Sequence[str]]]]]


@dataclass(frozen=True)
class Figure:
    """One figure: panels side by side, a caption that says what to see, and the ids of the claims it shows."""

    id: str
    title: str
    caption: str
    panels: Sequence[Curves | HeatMap | PhaseMap | Histogram]
    claims: Sequence[str] = ()


@dataclass(frozen=True)
class Recorded:
    """One quantity of a ``Diagram``: ``values`` (*axes, seeds) or (*axes, seeds, len(places)), NaN where there is none.

    ``along`` names the last dimension, the step above all, and ``places`` are where along it the values stand.
    With ``words``, phases above all, a value is the index of one of them.
    """

    name: str
    unit: str
    values: Array
    along: str = ""
    places: Array | None = None
    words: Sequence[str] = ()


@dataclass(frozen=True)
class Neurons:
    """The H hidden neurons of a two-layer network on residues, the most periodic first, and what pruning leaves of it.

    A neuron has V weight vectors along P residues, named ``vectors``, the output's last; ``along`` names the residues.
    ``ratios`` (H,) are participation ratios, falling, NaN last; ``frequencies`` (H,) in 1/P and ``phases`` (V, H) in
    radians are those of the strongest frequency, NaN where there is none. ``weights`` (V, P, len(shown)) are those of
    the neurons at the ranks ``shown``, counted from 0. After taking out the first ``gone`` (R,) of the neurons, the
    ``"lowest"`` or the ``"highest"`` first, the network has ``accuracies[order]`` (2, R), training and test.
    """

    vectors: Sequence[str]
    along: str
    ratios: Array
    frequencies: Array
    phases: Array
    shown: Array
    weights: Array
    gone: Array
    accuracies: Mapping[str, Array]


@dataclass(frozen=True)
class Opened:
    """A network of a ``Diagram`` that a page opens: its ``place`` (*axes, seeds), as indices, and its neurons.

    ``exact`` is the network that theory writes down for the same task, where there is one.
    """

    place: tuple[int, ...]
    learnt: Neurons
    exact: Neurons | None = None


@dataclass(frozen=True)
class Live:
    """A two-layer network of a ``Diagram`` that a page trains again, f(n) = scale W phi(sum_s U_s[n_s]).

    ``place`` (*axes, seeds) as indices; its first weights ``embed`` (S, p, H) and ``readout`` (K, H), float32; phi is
    the power ``degree``, or relu for 0. ``inputs`` (N, S) and ``labels`` (N,) integers, ``train`` and ``test`` rows of
    them. ``optimizer`` is "sgd", "adam" or "adamw", ``loss`` "mse" or "cross_entropy"; ``numbers`` are the recipe's.
    """

    place: tuple[int, ...]
    embed: Array
    readout: Array
    degree: int
    scale: float
    inputs: Array
    labels: Array
    train: Array
    test: Array
    optimizer: str
    loss: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Diagram:
    """What a grid of networks left, to be explored on a page: any two axes, any quantity, any cell.

    ``axes`` name -> values; ``fates`` (*axes, seeds) of words, where networks were trained; ``opened`` are those of the
    networks whose neurons can be looked at, ``live`` of those that the page can train; ``claims`` id -> the cell
    (indices along ``axes``) that a claim is about.
    """

    title: str
    axes: Mapping[str, Sequence[Knob]]
    seeds: Sequence[int]
    quantities: Sequence[Recorded]
    fates: Array | None = None
    opened: Sequence[Opened] = ()
    live: Sequence[Live] = ()
    claims: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Paper:
    """The paper whose question a study asks again: where its claims come from."""

    authors: str
    year: int
    title: str
    link: str
    bibtex: str


@dataclass(frozen=True)
class Page:
    """What a page tells: a question, the claims with their verdicts, figures, and how to make it all again.

    ``name`` is the study's, or empty; ``claims`` are as in ``--json``; ``provenance`` may be nested; paragraphs of
    ``notes`` are parted by empty lines. ``conduct`` says how the claims were judged, ``registered`` is the text
    that was registered before; ``evidence`` has the seeds of each claim, as ``verdict.evidence`` gives them.
    ``tables`` and ``choices`` stand before the figures, ``diagrams`` are what readers can explore. A page without
    ``paper`` and claims, of a user's own map or model, says nothing of them.
    """

    name: str
    title: str
    question: str
    figures: Sequence[Figure] = ()
    claims: Sequence[Mapping[str, Any]] = ()
    paper: Paper | None = None
    tables: Sequence[Table] = ()
    diagrams: Sequence[Diagram] = ()
    notes: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    conduct: Sequence[str] = ()
    registered: str = ""
    evidence: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    choices: Sequence[Choice] = ()
