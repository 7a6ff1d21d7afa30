"""Phase maps: every cell in its phase's colour, told apart in grey too, with nothing said that is not there."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.colors import to_hex

from phasescope.figures import Axis, Figure, HeatMap, PhaseMap
from phasescope.report import draw, render
from phasescope.report.figures import STYLE
from phasescope.report.labels import _broken, label_regions
from phasescope.report.page import Plate
from phasescope.report.palette import MISSING, PHASES, TWO_PHASES, contrast, ink, lightness, phase_colours
from phasescope.report.phase_map import neighbours
from phasescope.report.phases import in_words, percent, terrain
from phasescope.vocabulary import BadInput

SIX = ("coexistence", "partial inversion", "full inversion", "memorization", "forgetting", "confusion")
X, Y, LOG = Axis("corrupted share"), Axis("train fraction"), Axis("weight decay", "log")


def phase_map(values, phases=SIX, x=X, y=Y, **more):
    values = np.asarray(values)
    rows, columns = values.shape
    more = {"x_values": np.arange(columns) + 1.0, "y_values": np.arange(rows) + 1.0} | more
    return PhaseMap("a map", x, y, values=values, phases=phases, **more)


def halves(n=33, x=X, **more):
    """Return a refined map: below the diagonal and above it, measured along it and on every fourth line."""
    i, j = np.indices((n, n))
    sampled = (abs(i - j) <= 1) | ((i % 4 == 0) & (j % 4 == 0))
    places = np.geomspace(0.01, 10, n) if x.scale == "log" else np.linspace(0, 1, n)
    between = np.sqrt(places[1:] * places[:-1]) if x.scale == "log" else (places[1:] + places[:-1]) / 2
    heights = np.linspace(0.2, 0.9, n)
    boundary = np.column_stack([between, heights[:-1], places[:-1], places[1:]])
    content = {
        "x_values": places, "y_values": heights, "sampled": sampled, "uncertain": i == j, "boundary": boundary,
        "boundary_along": np.zeros(n - 1, int), "phases": ("below", "above"),
    }  # fmt: skip
    return phase_map((i >= j).astype(int), x=x, **(content | more))


def bands(rows=19, columns=17, x=X, y=LOG):
    i, j = np.indices((rows, columns))
    return phase_map((i * 3 // rows) * 2 + j * 2 // columns, x=x, y=y)


ODD = {
    "coarse": bands(),
    "refined": halves(),
    "refined, log": halves(x=LOG),
    "fine": halves(65),
    "one phase": phase_map(np.zeros((5, 5), int), phases=("all",)),
    "one cell": phase_map([[2]]),
    "one row": phase_map([[0, 1, 2, 3, 4, 5]], y=LOG),
    "one column": phase_map([[0], [1]], x=LOG),
    "all unknown": phase_map(np.full((3, 4), -1)),
    "all unknown and uncertain": phase_map(np.full((3, 4), -1), uncertain=np.ones((3, 4), bool)),
    "nan": phase_map(np.array([[0, np.nan], [np.inf, 1.0]])),
    "empty": phase_map(np.zeros((0, 0), int)),
    "no row": phase_map(np.zeros((0, 3), int)),
    "empty boundary": halves(boundary=np.zeros((0, 4)), boundary_along=np.zeros(0, int)),
    "boundary of nan": halves(5, boundary=np.full((2, 4), np.nan), boundary_along=np.zeros(2, int)),
    "boundary without direction": halves(boundary_along=None),
    "boundary without ends": halves(5, boundary=np.array([[0.5, 0.5, np.nan, np.inf]]), boundary_along=np.array([1])),
    "boundary in one phase": phase_map(np.zeros((3, 3), int), boundary=np.ones((1, 4)), boundary_along=np.array([0])),
    "boundary at zero on a log axis": halves(3, x=LOG, x_values=np.array([0, 1, 10]),
        boundary=np.array([[0.0, 0.2, 0.0, 1.0]]), boundary_along=np.array([0])),
    "boundary outside": halves(5, boundary=np.array([[9.0, 9.0, -9.0, 99.0]]), boundary_along=np.array([0])),
    "nothing measured": halves(sampled=np.zeros((33, 33), bool)),
    "unsorted, repeated, missing places": phase_map(np.zeros((2, 4), int), x_values=np.array([3, 1, 1, np.nan])),
    "negative on a log axis": phase_map(np.zeros((2, 2), int), x=LOG, x_values=np.array([-1, 2])),
    "odd words": phase_map([[0, 1]], phases=("$\\bad{_ 100 %", "_" * 90)),
    "no words": phase_map([[0, 1]], phases=("", " ")),
    "limits": phase_map([[0, 1], [1, 0]], x=Axis("x", limits=(1.2, 5.0))),
    "eight": phase_map(np.arange(16).reshape(2, 8) % 8, phases=[f"phase {k}" for k in range(8)]),
}  # fmt: skip


def drawn(panel, dpi=100):
    drawing = draw(Figure("f", "t", "c", [panel]))
    drawing.set_dpi(dpi)
    with mpl.rc_context(STYLE):
        drawing.draw_without_rendering()
    return drawing


def parts(panel, kind):
    return [c for c in drawn(panel).axes[0].collections if isinstance(c, kind)]


def legend_of(panel):
    found = drawn(panel).axes[0].get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


@pytest.mark.parametrize("name", ODD)
def test_whatever_map_comes_is_drawn_without_a_warning(name):
    drawn(ODD[name], 40)
    assert Plate(Figure("f", "t", "c", [ODD[name]]), "a", 1, "", 1, ()).alt


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_shares_of_the_area_are_those_of_the_cells_and_make_a_whole(rows, columns, data):
    values = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=rows * columns, max_size=rows * columns)))
    ground = terrain(phase_map(values.reshape(rows, columns)))
    for k in range(-1, 6):
        assert ground.share(k) == pytest.approx((values == k).mean())


def test_render_gives_the_same_bytes_again():
    figure = Figure("f", "t", "c", [halves(), bands(), ODD["all unknown"]])
    assert render(figure) == render(figure)


# -- colours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "least"), [(2, 40), (3, 20), (4, 12), (6, 10), (8, 8)])
def test_phases_differ_in_grey(count, least):
    greys = [lightness(c) for c in phase_colours(count)]
    assert min(abs(a - b) for a, b in combinations(greys, 2)) >= least


def seen(colour, matrix):
    """Return the CIELAB coordinates of ``#rrggbb`` as someone sees it whose cones mix linear RGB by ``matrix``."""
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = to_xyz @ np.clip(np.array(matrix) @ linear, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0
SIGHTS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("colours", [PHASES, TWO_PHASES], ids=["eight", "two"])
def test_phases_differ_for_the_colour_blind(sight, colours):
    """Any two are 10 units of CIELAB apart; 2.3 is a just noticeable difference."""
    places = [seen(colour, SIGHTS[sight]) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in combinations(places, 2)) >= 10


def test_names_can_be_read_on_every_colour():
    assert min(contrast(ink(c), c) for c in (*PHASES, *TWO_PHASES, MISSING)) >= 4.5


def test_a_phase_keeps_its_colour_whatever_else_is_in_the_panel():
    """By position in ``phases``: also where the phases before it do not occur."""
    for panel in (bands(), phase_map([[5, 5], [5, -1]]), phase_map([[3, 5]])):
        (mesh,) = parts(panel, QuadMesh)
        found = [to_hex(colour) for colour in mesh.get_facecolors()]
        known = terrain(panel).phase.ravel()
        assert [c for c, k in zip(found, known, strict=True) if k >= 0] == [PHASES[k] for k in known if k >= 0]


# -- places --------------------------------------------------------------------------------------------------


def test_cells_lie_where_their_phases_are():
    panel = phase_map([[0, 1, 2], [3, 4, -1]], x=LOG, x_values=np.array([1.0, 0.1, 0.0]), y_values=np.array([0.3, 0.2]))
    (mesh,) = parts(panel, QuadMesh)
    found = np.ma.filled(mesh.get_array().reshape(2, 3), -1)
    np.testing.assert_array_equal(found, [[-1, 4, 3], [2, 1, 0]])
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], 10.0 ** np.array([-2.5, -1.5, -0.5, 0.5]))
    assert drawn(panel).axes[0].get_xticklabels()[0].get_text() == "0"


def test_each_measured_place_has_a_dot_and_each_uncertain_one_a_ring():
    panel = halves(9, boundary=None)
    dots, rings, _ = parts(panel, PathCollection)
    sampled, uncertain = np.asarray(panel.sampled), np.asarray(panel.uncertain)
    assert len(dots.get_offsets()) == (sampled & ~uncertain).sum()
    i, j = np.nonzero(uncertain & sampled)
    np.testing.assert_allclose(rings.get_offsets(), np.column_stack([panel.x_values[j], panel.y_values[i]]))
    assert len(rings.get_facecolors()) == 0


def test_a_map_that_is_measured_everywhere_has_no_dots():
    panel = phase_map([[0, 1]], sampled=np.ones((1, 2), bool))
    assert not [c for p in (panel, bands()) for c in parts(p, PathCollection) if len(c.get_offsets())]


def test_dots_shrink_where_places_are_dense():
    sizes = [parts(halves(n), PathCollection)[0].get_sizes()[0] for n in (5, 33, 65)]
    assert sizes[0] > sizes[1] > sizes[2] >= 1


def test_the_boundary_is_where_it_is_given_with_its_bars():
    panel = halves(9)
    axes = drawn(panel).axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), panel.boundary[:, :2])
    bars = [segment for c in axes.collections if isinstance(c, LineCollection) for segment in c.get_segments()]
    for x, y, low, high in panel.boundary:
        assert any(np.array_equal(bar, [[low, y], [high, y]]) for bar in bars), (x, y)


def test_bars_run_along_the_line_that_crosses():
    """And to the edge of the panel where they are open."""
    given = np.array([[0.5, 0.4, 0.3, 0.6], [0.5, 0.4, 0.3, np.inf]])
    panel = halves(3, boundary=given, boundary_along=np.array([1, 1]))
    segments = [s.tolist() for c in parts(panel, LineCollection) for s in c.get_segments()]
    assert [[0.5, 0.3], [0.5, 0.6]] in segments
    assert [[0.5, 0.3], [0.5, terrain(panel).y_scale.high]] in segments


def test_boundary_places_are_linked_to_their_neighbours_alone():
    """Two boundaries one cell apart: places follow each other along each of them, and none across."""
    phase = np.tile([0, 0, 1, 0, 0], (4, 1))
    x, y = np.arange(5.0), np.arange(4.0)
    u, v = np.repeat([1.4, 2.7], 4), np.tile(y, 2)
    expected = [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7)]
    assert neighbours(x, y, phase, u, v, np.zeros(8, int)) == expected
    assert neighbours(y, x, phase.T, v, u, np.ones(8, int)) == expected


def test_three_boundaries_meet_in_one_square():
    phase = np.array([[0, 0], [1, 2]])
    where = [0.0, 1.0, 0.5], [0.5, 0.5, 1.0]
    found = neighbours(np.arange(2.0), np.arange(2.0), phase, *map(np.array, where), np.array([1, 1, 0]))
    assert found == [(0, 1, 2)]


def test_integers_have_whole_ticks_and_a_single_row_its_own():
    panel = phase_map(np.zeros((1, 3), int), x_values=np.arange(3, 6), y_values=np.array([2]))
    axes = drawn(panel).axes[0]
    assert [t for t in axes.get_xticks() if 2.5 <= t <= 5.5] == [3, 4, 5]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["2"]
    heat = HeatMap("m", X, Y, np.arange(3, 7), np.array([2]), np.ones((1, 4)), "v")
    assert [t.get_text() for t in drawn(heat).axes[0].get_yticklabels()] == ["2"]


# -- words ---------------------------------------------------------------------------------------------------


def test_the_legend_says_only_what_occurs():
    kinds = {"measured", "inferred", "uncertain", "boundary"}
    assert legend_of(halves()) == ["below 48 %", "above 52 %", "measured", "inferred", "uncertain", "boundary"]
    assert not kinds & set(legend_of(bands()))
    assert legend_of(phase_map([[0, 0, 4, -1]])) == ["coexistence 50 %", "forgetting 25 %", "unknown 25 %"]
    assert legend_of(phase_map([[0, 0]], sampled=np.ones((1, 2), bool))) == ["coexistence 100 %"]
    assert "boundary" not in legend_of(ODD["empty boundary"]) + legend_of(ODD["boundary of nan"])
    assert "measured" not in legend_of(ODD["nothing measured"])


def test_shares_are_of_the_area_as_drawn():
    """Cells of a logarithmic axis count by decades, not by number."""
    panel = phase_map([[0, 0, 0, 1]], x=LOG, x_values=np.array([1.0, 2.0, 4.0, 16.0]))
    assert terrain(panel).share(1) == pytest.approx(2 / 5.5)  # edges at 2 to the -0.5, 0.5, 1.5, 3, 5


@pytest.mark.parametrize("share", [1e-9, 0.2, 0.5, 0.9999])
def test_percents_do_not_say_nothing_or_all_of_a_part(share):
    assert percent(share) not in ("0 %", "100 %")


@pytest.mark.parametrize("name", ["coarse", "refined", "one column", "eight"])
def test_names_lie_inside_their_own_region(name):
    """The box of each name, as drawn, lies in the frame and over cells of its phase alone."""
    drawing = drawn(ODD[name])
    (axes,) = drawing.axes
    (mesh,) = [c for c in axes.collections if isinstance(c, QuadMesh)]
    ground, corners = terrain(ODD[name]), mesh.get_coordinates()
    assert axes.texts
    for text in axes.texts:
        box = text.get_window_extent()
        (left, bottom), (right, top) = axes.transData.inverted().transform(box.get_points())
        x, y = corners[0, :, 0], corners[:, 0, 1]
        assert x[0] <= left < right <= x[-1] and y[0] <= bottom < top <= y[-1]
        j = slice(np.searchsorted(x, left) - 1, np.searchsorted(x, right))
        i = slice(np.searchsorted(y, bottom) - 1, np.searchsorted(y, top))
        said = text.get_text().replace("\n", " ")
        assert {ODD[name].phases[k] for k in np.unique(ground.phase[i, j])} == {said}


def test_a_name_is_not_put_where_its_region_is_widest_but_too_low():
    """An L whose corner is deepest: the name fits into its foot alone."""
    phase = np.zeros((20, 20), int)
    phase[5:, 4:] = 1
    edge = np.linspace(0, 1, 21)
    (label, _) = label_regions(phase, edge, edge, ["a name as long as this", "b"], np.zeros((0, 2)))
    assert label.text == "a name as long as this"
    assert label.y < 0.2
    assert label.x >= 0.2


def test_a_name_goes_where_no_dot_is():
    grid = np.linspace(0, 1, 9)
    dots = np.array([(0.5, y) for y in grid[3:6]])
    (label,) = label_regions(np.zeros((4, 4), int), np.linspace(0, 1, 5), np.linspace(0, 1, 5), ["word"], dots)
    assert abs(label.x - 0.5) > 0.046 or abs(label.y - 0.5) > 0.13


def test_a_name_that_does_not_fit_is_left_out_and_no_word_is_broken():
    edge = np.linspace(0, 1, 11)
    phase = np.tile(np.arange(10), (10, 1))
    assert _broken("an unbreakable word")[-1] == "an\nunbreakable\nword"
    names = ["narrow but long"] * 3 + ["unbreakablyverylong"] * 3 + ["a b c"] * 4
    found = label_regions(phase, edge, edge, names, np.zeros((0, 2)))
    assert {word for label in found for word in label.text.split()} <= {"a", "b", "c"}


def test_the_words_for_those_who_do_not_see_the_map():
    assert in_words(phase_map([[0, 0, 4, -1]])) == (
        "a map, train fraction against corrupted share, by fraction of the area: coexistence 50 %, forgetting 25 %, unknown 25 %"
    )
    words = in_words(halves(9))
    assert f"{int(np.asarray(halves(9).sampled).sum())} of 81 places measured, 9 uncertain)" in words
    assert words in Plate(Figure("f", "t", "c", [halves(9)]), "a", 1, "", 1, ()).alt
    assert "no phase is known" in in_words(ODD["all unknown"])


# -- what does not fit together ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"values": np.zeros((2, 3), int)}, "values has shape"),
        ({"sampled": np.ones((1, 2), bool)}, "sampled has shape"),
        ({"uncertain": np.ones(4, bool)}, "uncertain has shape"),
        ({"phases": ()}, "0 phases"),
        ({"phases": ["p"] * 9}, "9 phases"),
        ({"values": np.array([[0, 1], [0, 6]])}, "integers from 0 to 5"),
        ({"values": np.array([[0, 1], [0, -2]])}, "integers from 0 to 5"),
        ({"values": np.array([[0, 1], [0, 0.5]])}, "integers from 0 to 5"),
        ({"boundary": np.zeros((3, 2))}, "boundary has shape"),
        ({"boundary": np.zeros((3, 4)), "boundary_along": np.zeros(2, int)}, "boundary_along"),
    ],
)
def test_maps_that_do_not_fit_together_are_refused(changes, sentence):
    content = {"values": np.zeros((2, 2), int), "x_values": np.arange(2), "y_values": np.arange(2)} | changes
    with pytest.raises(BadInput, match=sentence):
        draw(Figure("f", "t", "c", [phase_map(**content)]))
