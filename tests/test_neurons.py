"""Inside a network on the page: the neurons' numbers against the instruments, and what a real browser shows of them."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import phasescope as ps
from browsing import Seen
from phasescope import instruments
from phasescope.ensemble import measure
from phasescope.ensemble.streams import streams
from phasescope.figures import Diagram, Neurons, Opened, Page
from phasescope.instruments import fourier, logits, neuron_pruning
from phasescope.instruments.neuron_pruning import SHARES
from phasescope.lab.diagrams import diagrams, places
from phasescope.lab.measures import at
from phasescope.lab.neurons import NETWORKS, _chosen, neurons, opened
from phasescope.lab.registry import study_named
from phasescope.lab.study import Experiment, Inside
from phasescope.learners import ExactMLP, PowerMLP
from phasescope.report import opened as packing
from phasescope.report import page
from phasescope.report.explorer import packed
from phasescope.theory import modular_addition, residues

P, H = 11, 20
EVIL = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\"><a href='https://example.org'>x</a>"
LEARN = ps.Recipe(steps=80, records=8, weight_decay=1.0)
EXACT = ExactMLP(P, H, modular_addition.addition_weights)
SUM = ps.tasks.addition(P, train_fraction=0.6, corruption=0.2)


def experiment(learner: Any, task: Any = SUM, grid: ps.Grid | None = None, **recipe: Any) -> tuple[Experiment, Any]:
    e = Experiment("a sum", learner, task, grid or ps.Grid(seeds=2), LEARN.model_copy(update=recipe))
    prune = [
        neuron_pruning.pruning(score(task), order=order, shares=SHARES, name=f"pruned_{order}")
        for order in ("lowest", "highest")
    ]
    reads = (*prune, fourier.participation, fourier.phases, fourier.dominant_frequency)
    return e, ps.train(e.learner, e.task, e.grid, e.recipe, instruments.LEARNING, at_end=reads)


def score(task: Any) -> Any:
    if "mul" in task.name or "*" in task.name:
        return fourier.participation_in_basis(residues.power_order(P), "log")
    return fourier.participation


@pytest.fixture(scope="module")
def trained() -> tuple[Experiment, Any]:
    grid = ps.Grid({"weight_decay": (0.0, 3.0), "train_fraction": (0.4, 0.6, 0.8)}, seeds=2)
    return experiment(PowerMLP(P, H), ps.tasks.addition(P, corruption=0.2), grid)


class TestNumbers:
    """What the page is given is what the instruments read."""

    @pytest.mark.parametrize(
        "learner, task, order",
        [
            (PowerMLP(P, H), SUM, ()),
            (PowerMLP(P, H, parametrization="mean-field"), SUM, ()),
            (PowerMLP(P, H, activation="relu", dropout=0.3), SUM, ()),
            (PowerMLP(P, H, batch_norm=True), SUM, ()),
            (PowerMLP(P, H), ps.tasks.multiplication(P), residues.power_order(P)),
            (PowerMLP(5, H, arity=3, activation="cubic"), ps.tasks.addition(5, arity=3), ()),
        ],
        ids=["plain", "mean field", "relu", "batch norm", "product", "three terms"],
    )
    def test_pruning_is_that_of_the_instrument(self, learner: Any, task: Any, order: Any) -> None:
        # the law: taking out neurons from the sum of logits is setting their weights to zero
        e, data = experiment(learner, task)
        found = opened(e, data, Inside(order=order))
        assert [one.place for one in found] == [(0,), (1,)]
        for one in found:
            for name, accuracies in one.learnt.accuracies.items():
                expected = data[f"pruned_{name}"].isel(seed=one.place[0]).sel(accuracy=["train", "test"]).values
                np.testing.assert_allclose(accuracies, expected, atol=1e-12)
        assert not np.array_equal(found[0].learnt.accuracies["lowest"], found[0].learnt.accuracies["highest"])

    def test_neurons_are_sorted_and_read_as_the_instruments_read_them(self, trained: Any) -> None:
        e, data = trained
        one = opened(e, data, Inside())[3]
        here = data.isel(weight_decay=one.place[0], train_fraction=one.place[1], seed=one.place[2])
        rank = np.argsort(-here["participation"].values)
        np.testing.assert_array_equal(one.learnt.ratios, here["participation"].values[rank])
        np.testing.assert_array_equal(one.learnt.phases, here["phases"].transpose("vector", "neuron")[:, rank])
        np.testing.assert_array_equal(one.learnt.frequencies, here["dominant_frequency"].values[rank])
        np.testing.assert_array_equal(one.learnt.weights[:2], here["final.embed"].values[..., rank])
        np.testing.assert_array_equal(one.learnt.weights[2], here["final.readout"].values[:, rank])

    def test_the_exact_network_obeys_the_theory(self, trained: Any) -> None:
        e, data = trained
        exact = opened(e, data, Inside(lambda member: ExactMLP(P, 200, modular_addition.addition_weights)))[0].exact
        assert exact is not None
        waves = ~np.isnan(exact.frequencies)  # frequency 0 mod p is a constant and has no phase
        np.testing.assert_allclose(exact.ratios[waves], 1, atol=1e-6)
        np.testing.assert_allclose(np.cos(exact.phases[:2].sum(0) - exact.phases[2])[waves], 1, atol=1e-5)
        assert exact.accuracies["lowest"][1, 0] == 1.0

    def test_it_is_written_down_once_and_judged_on_each_members_own_split(self, trained: Any) -> None:
        e, data = trained
        found = opened(e, data, Inside(lambda member: EXACT))
        assert len({id(one.exact.weights) for one in found if one.exact}) == 1
        read = measure(EXACT, SUM, ps.Grid(), (logits.train_accuracy,))
        same_split = [one for one in found if one.place == (0, 1, 0)]
        (exact,) = [one.exact for one in same_split]
        assert exact is not None
        # the stream of the weights is the same: seed 0
        assert exact.accuracies["lowest"][0, 0] == pytest.approx(float(read.train_accuracy.values[0]))

    def test_networks_that_diverged_and_stores_without_weights_open_nothing(self, trained: Any) -> None:
        e, data = trained
        broken = data.copy(deep=True)
        broken["final.embed"][0, 0, 0, 0, 0, 0] = np.nan
        assert next(one.place for one in opened(e, broken, Inside())) == (0, 0, 1)
        assert opened(e, data.drop_vars("final.embed"), Inside()) == ()

    def test_a_network_of_zeros_has_neurons_without_waves(self) -> None:
        net = PowerMLP(P, H)  # as it is made: all weights 0
        draw = SUM.draw(ps.vocabulary.Member({}, 0), streams(0))
        found = neurons(net, dict(net.named_parameters()), draw)
        assert np.isnan(found.ratios).all() and np.isnan(found.phases).all()
        d = replace(empty(), opened=[Opened((0, 0), found)])
        assert json.loads(packed([d]))["diagrams"][0]["opened"][0]["learnt"]["scale"] == 1.0


def empty() -> Diagram:
    return Diagram("d", {"lr": (0.1,)}, [0], [])


def made(width: int, p: int, cells: int, seeds: int, exact: bool = True) -> Diagram:
    generator = np.random.default_rng(0)

    def some(width: int = width) -> Neurons:
        return Neurons(
            ["input 1", "input 2", "output"], "residue", generator.random(width), generator.random(width),
            generator.random((3, width)), np.arange(width), generator.standard_normal((3, p, width)).astype("f4"),
            np.array([round(s * width) for s in SHARES]),
            {order: generator.random((2, len(SHARES))) for order in ("lowest", "highest")},
        )  # fmt: skip

    beside = some() if exact else None
    inside = [Opened((cell, seed), some(), beside) for cell in range(cells) for seed in range(seeds)]
    return Diagram("d", {"lr": tuple(range(cells))}, list(range(seeds)), [], opened=inside)


class TestPacking:
    def test_weights_arrive_to_four_digits_and_all_else_as_it_was(self) -> None:
        d = made(20, 11, 2, 1)
        document = json.loads(packed([d]))
        for one, given in zip(document["diagrams"][0]["opened"], d.opened, strict=True):
            told, n = one["learnt"], given.learnt
            found = np.frombuffer(base64.b64decode(document["arrays"][told["weights"]]), "<i2") * told["scale"]
            assert np.abs(found.reshape(n.weights.shape) - n.weights).max() <= np.abs(n.weights).max() / 60_000
            ratios = np.frombuffer(base64.b64decode(document["arrays"][told["ratios"]]), "<f4")
            np.testing.assert_array_equal(ratios, n.ratios.astype("f4"))
        assert len({one["exact"]["weights"] for one in document["diagrams"][0]["opened"]}) == 1

    def test_thinning_takes_networks_then_neurons_then_cells_and_says_so(self) -> None:
        whole = made(200, 23, 6, 3)
        size = packing.weight([whole])
        (one,), (note,) = packing.thinned([whole], size * 2 // 3)
        assert len(one.opened) < len(whole.opened) and len({o.place[0] for o in one.opened}) == 6
        assert "networks of a cell" in note
        (fewer,), (note,) = packing.thinned([whole], size // 8)
        assert len({o.place[0] for o in fewer.opened}) == 6 and "of 200 neurons" in note
        shown = fewer.opened[0].learnt.shown
        assert shown[0] == 0 and shown[-1] == 199 and fewer.opened[0].learnt.weights.shape[2] == len(shown)
        assert len({id(o.exact.weights) for o in fewer.opened if o.exact}) == 1
        (least,), (note,) = packing.thinned([whole], size // 15)
        assert 0 < len(least.opened) < 6 and "of 6 cells" in note and packing.weight([least]) <= size // 15
        (none,), (note,) = packing.thinned([whole], 0)
        assert none.opened == () and "no neurons" in note

    def test_a_page_at_the_papers_size_with_heavy_figures_stays_below_15_MB(self) -> None:
        heavy = made(500, 97, 24, 1)
        figure = ps.figures.Figure("f", "t", "c", [])
        text = page(Page("", "t", "", [figure], diagrams=[heavy]), [b"x" * 8_900_000])
        (carried,) = re.findall(r'id="explorer-data">(.*?)</script>', text)
        told = gzip.decompress(base64.b64decode(carried)).decode()
        assert len(text.encode()) < 15_000_000 and "To be light, this page shows from inside" in told

    def test_of_too_many_cells_a_coarser_grid_is_opened(self) -> None:
        grid = ps.Grid(
            {"weight_decay": [i / 10 for i in range(40)], "train_fraction": [0.1 + i / 50 for i in range(25)]}
        )
        e = Experiment("many", PowerMLP(5, 3), ps.tasks.addition(5), grid, LEARN)
        places = [place for place, _ in _chosen(e)]
        assert 60 <= len(places) <= NETWORKS and (0, 0, 0) in places and (39, 24, 0) in places


class TestPlaces:
    @pytest.mark.parametrize("name", ["grokking", "corrupted-labels", "modular-polynomials"])
    @pytest.mark.parametrize("scale", ["pocket", "paper"])
    def test_claims_are_to_be_seen_at_places_that_there_are(self, name: str, scale: str) -> None:
        study = study_named(name)
        s = study.scales[scale]
        experiments, claims = study.experiments(s), study.claims(s)
        cells = places(claims)
        assert len(cells) >= 0.9 * len(claims)
        for cell in cells.values():
            axes = experiments[cell.experiment].grid.axes  # type: ignore[union-attr]
            places_of = {k: v if isinstance(v, tuple) else (v,) for k, v in cell.knobs.items() if k in axes}
            assert all(value in axes[knob] for knob, values in places_of.items() for value in values), cell
        assert set(study.inside(s)) <= set(experiments)

    def test_a_claims_effect_reads_the_experiment_that_its_link_opens(self, tiny_results: Any) -> None:
        claims = {claim.id: claim for claim in tiny_results.study.claims(tiny_results.settings)}
        for claim, cell in places(list(claims.values())).items():
            without = {name: data for name, data in tiny_results.data.items() if name != cell.experiment}
            with pytest.raises(KeyError):
                claims[claim].effect(without)


# -- in a real browser -----------------------------------------------------------------------------------------------------


def write(folder: Path, *found: Diagram, title: str = "a study") -> Path:
    text = page(Page("", title, "", diagrams=found), [])
    (folder / "page.html").write_text(text, encoding="utf-8")
    return folder / "page.html"


def shown(trained: Any, title: str = "a sum", exact: bool = True) -> Diagram:
    e, data = trained
    inside = opened(e, data, Inside((lambda member: EXACT) if exact else None))
    (d,) = diagrams({"e": data[list(instruments_of(data))]}, {"e": title}, {"e": inside}, {"claim": at("e")})
    return d


def instruments_of(data: Any) -> list[str]:
    return [name for name in data if name in ("train_accuracy", "test_accuracy", "fate")]


@pytest.fixture(scope="module")
def inside(browser: Any, trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    found = Seen(
        browser, write(tmp_path_factory.mktemp("page"), shown(trained)), viewport={"width": 1200, "height": 900}
    )
    reveal(found)
    yield found
    found.quiet()
    found.page.context.close()


def reveal(found: Seen) -> None:
    found.part("inside").scroll_into_view_if_needed()
    found.page.wait_for_selector("[data-panel=pruning] .main-svg")


def expect(found: Seen, part: str, words: str) -> None:
    found.part(part).filter(has_text=re.compile(words)).wait_for(timeout=10_000)


def slide(found: Seen, name: str, value: int) -> None:
    found.part(name).evaluate(f"e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); }}")


def fresh(trained: Any, place: tuple[int, int, int], order: str, count: int) -> list[float]:
    """Return train and test accuracy of the stored network with ``count`` neurons zeroed, by numpy and the module."""
    e, data = trained
    embed, readout = (data[f"final.{name}"].values[place].copy() for name in ("embed", "readout"))
    power = np.abs(np.fft.rfft(np.concatenate([embed, readout[None]]).astype(np.float64), axis=1)) ** 2
    ratio = ((power**2).sum(1) / power.sum(1) ** 2).mean(0)
    out = np.argsort(ratio if order == "lowest" else -ratio, kind="stable")[:count]
    embed[..., out], readout[..., out] = 0, 0
    net = PowerMLP(P, H)
    net.load_state_dict({"embed": torch.from_numpy(embed), "readout": torch.from_numpy(readout)}, strict=False)
    knobs = {
        "weight_decay": e.grid.axes["weight_decay"][place[0]],
        "train_fraction": e.grid.axes["train_fraction"][place[1]],
    }
    seed = place[2]
    draw = e.task.draw(ps.vocabulary.Member(knobs, seed), streams(seed))
    right = net.eval()(torch.from_numpy(draw.inputs)).argmax(1).numpy() == draw.labels
    return [float(right[draw.train].mean()), float(right[draw.test].mean())]


@pytest.mark.browser
class TestBrowser:
    @pytest.mark.parametrize("order", ["lowest", "highest"])
    @pytest.mark.parametrize("place", [0, 3, 10, 16, 20])
    def test_the_slider_equals_a_fresh_evaluation_of_the_pruned_network(
        self, inside: Seen, trained: Any, order: str, place: int
    ) -> None:
        inside.part("order").select_option(value=order)
        slide(inside, "gone", place)
        words = inside.part("pruned").inner_text()
        count = round(SHARES[place] * H)
        assert words.startswith(f"Without {count} of {H} neurons, {order} participation first:")
        told = [float(x) for x in re.findall(r"accuracy ([\d.]+)", words)[:2]]
        np.testing.assert_allclose(told, fresh(trained, (0, 1, 0), order, count), atol=5e-4)

    def test_another_network_and_another_cell_show_their_own(self, inside: Seen, trained: Any) -> None:
        slide(inside, "gone", 0)
        inside.part("network").select_option(label="seed 1")
        told = [float(x) for x in re.findall(r"accuracy ([\d.]+)", inside.part("pruned").inner_text())[:2]]
        np.testing.assert_allclose(told, fresh(trained, (0, 1, 1), "lowest", 0), atol=5e-4)
        inside.part("map").focus()
        inside.page.keyboard.press("ArrowUp")
        told = [float(x) for x in re.findall(r"accuracy ([\d.]+)", inside.part("pruned").inner_text())[:2]]
        np.testing.assert_allclose(told, fresh(trained, (1, 1, 1), "lowest", 0), atol=5e-4)
        inside.page.keyboard.press("ArrowDown")
        inside.part("network").select_option(label="seed 0")

    def test_spectra_and_weights_are_those_of_the_neuron(self, inside: Seen, trained: Any) -> None:
        slide(inside, "neuron", 4)
        drawn = inside.page.evaluate(
            "['weights', 'spectrum'].map(n => document.querySelector(`[data-panel=${n}] .js-plotly-plot`).data.map(t => [...t.y]))"
        )
        n = opened(trained[0], trained[1], Inside())[2].learnt
        np.testing.assert_allclose(drawn[0], n.weights[..., 4], atol=1e-4)
        power = np.abs(np.fft.rfft(n.weights[..., 4].astype(float), axis=1)) ** 2
        np.testing.assert_allclose(drawn[1], power / power.sum(1, keepdims=True) / 3, atol=1e-3)
        assert f"participation ratio {float(f'{n.ratios[4]:.3g}')}" in inside.part("neuron-told").inner_text()

    def test_a_click_on_a_point_chooses_its_neuron(self, inside: Seen) -> None:
        point = inside.page.locator("[data-panel=ranks] .scatterlayer .trace").first.locator(".point").nth(9)
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        inside.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(inside, "neuron-told", "^Neuron 10 of")

    def test_the_keyboard_alone_reaches_everything(self, inside: Seen) -> None:
        inside.part("gone").evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
        inside.part("order").select_option(value="lowest")
        inside.part("network").focus()
        for part, key in (("order", "ArrowDown"), ("gone", "ArrowRight"), ("neuron", "End")):
            while inside.page.evaluate("document.activeElement.dataset.part") != part:
                inside.page.keyboard.press("Tab")
            inside.page.keyboard.press(key)
        assert "highest participation first" in inside.part("pruned").inner_text()
        assert f"Without {round(SHARES[1] * H)} of {H}" in inside.part("pruned").inner_text()
        assert inside.part("neuron-told").inner_text().startswith(f"Neuron {H} of {H}")

    def test_no_serious_barrier(self, inside: Seen) -> None:
        assert inside.barriers() == []

    def test_a_film_leaves_what_is_inside_alone(self, inside: Seen) -> None:
        inside.page.evaluate(
            "window.drawn = 0; document.querySelector('[data-part=inside]').addEventListener('drawn', () => window.drawn++)"
        )
        inside.part("play").click()
        inside.page.locator("[data-part=play]:text-is('Pause')").wait_for()
        inside.page.locator("[data-part=play]:text-is('Play')").wait_for()
        assert inside.page.evaluate("window.drawn") <= 1  # scrolling there and back draws once

    def test_narrow_and_dark(self, browser: Any, trained: Any, tmp_path: Path) -> None:
        found = Seen(
            browser, write(tmp_path, shown(trained)), viewport={"width": 400, "height": 800}, color_scheme="dark"
        )
        reveal(found)
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 400
        assert found.barriers() == []
        found.quiet()
        found.page.context.close()

    def test_users_words_stay_words(self, browser: Any, trained: Any, tmp_path: Path) -> None:
        d = replace(shown(trained, EVIL, exact=False), axes={EVIL: (EVIL, "b"), "f": (1, 2, EVIL)})
        evil = [replace(one, learnt=replace(one.learnt, vectors=[EVIL] * 3, along=EVIL)) for one in d.opened]
        found = Seen(browser, write(tmp_path, replace(d, opened=evil), title=EVIL))
        reveal(found)
        found.page.wait_for_timeout(200)
        assert found.page.title() == EVIL
        assert not found.page.locator("[data-panel=exact-weights]").is_visible()
        assert found.page.locator("svg a").count() == 0  # Plotly makes links of what looks like one
        found.quiet()
        found.page.context.close()

    def test_a_claim_leads_to_its_cell(self, browser: Any, tiny_results: Any, tmp_path: Path) -> None:
        from phasescope.report import write_report
        from phasescope.store import Store

        r = tiny_results
        with Store(tmp_path / "run") as store:
            path = write_report(store, replace(r.told(), figures=()))["report"]
        found = Seen(browser, path, viewport={"width": 1200, "height": 900})
        card = found.page.locator("li.card", has=found.page.locator("a.id:text-is('below-critical')"))
        card.locator("summary").click()
        card.locator("a:text-is('Explore its cell')").click()
        expect(found, "cell", "^train fraction 0.4:")
        assert found.part("diagram").evaluate("s => s.selectedOptions[0].text") == "gradient descent"
        reveal(found)
        found.quiet()
        # the same link opens the page there
        found.page.goto(f"{path.as_uri()}#cell-0-3")
        found.page.reload()
        expect(found, "cell", "^train fraction 0.9:")
        anchor = card.locator(".body").get_attribute("id")
        found.page.goto("about:blank")
        found.page.goto(f"{path.as_uri()}#{anchor}")
        found.page.locator(f"#{anchor}").wait_for(state="visible")  # a link to a claim opens its row
        assert found.page.locator("li.card details[open]").count() == 1
        found.page.goto(f"{path.as_uri()}#cell-99-zero")
        found.page.reload()
        found.page.wait_for_selector("#explorer:not([hidden])")
        found.quiet()
        found.page.context.close()
