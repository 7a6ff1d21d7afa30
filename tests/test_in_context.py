"""Tasks whose batch knows its member: the page's example, step by step against a loop of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import phasescope as ps
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.streams import initialized, streams
from phasescope.learners import Decoder
from phasescope.vocabulary import Grid, Member, Recipe

PAGE = Path(__file__).parents[1] / "docs" / "in_context.md"
GRID = Grid({"pool": [1, 8], "shots": [1, 3]}, seeds=[4])
RECIPE = Recipe(optimizer="sgd", steps=3, batch=6, lr=0.1, records=2, dtype="float64")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Return what the page's first block defines."""
    found: dict[str, Any] = {"__name__": "page"}
    exec(blocks()[0], found)
    return found


def network() -> Decoder:
    return Decoder(4, 1, vectors=True, width=8, heads=2, layers=1, positions="none", mask="examples", init="torch")


def own_loop(task: Any, member: Member, steps: int) -> tuple[dict[str, Any], float]:
    """Return the weights after some steps of torch's SGD on the member's batches, and their loss on new tasks."""
    net = initialized(network(), member.seed).double()
    rule = torch.optim.SGD(net.parameters(), RECIPE.lr)
    for step in range(1, steps + 1):
        x, y = (torch.from_numpy(part) for part in task.batch(member, streams(member.seed), step, RECIPE.batch))
        assert x.shape == (6, 2 * member["shots"] + 1, 4)
        rule.zero_grad()
        (net(x) - y).square().mean().backward()
        rule.step()
    draw = task.draw(member, streams(member.seed))
    x, y = (torch.from_numpy(part[draw.test]) for part in (draw.inputs, draw.labels))
    return dict(net.named_parameters()), (net(x) - y).square().mean().item()


@pytest.mark.parametrize("engine", ["stacked", "looped", "traced"])
def test_a_batch_knows_its_member(names: dict[str, Any], engine: Any) -> None:
    """Each network learns from its own pool, in contexts of its own length, as it would in a loop written for it."""
    task = names["Lines"]()
    data = ps.train(network(), task, GRID, RECIPE, [ps.instruments.logits.test_loss], device="cpu", engine=engine)
    for member in GRID:
        here = data.sel(pool=member["pool"], shots=member["shots"], seed=member.seed)
        weights, loss = own_loop(task, member, RECIPE.steps)
        assert ps.last(here.test_loss).item() == pytest.approx(loss, rel=1e-9)
        for name, value in weights.items():
            np.testing.assert_allclose(here[f"final.{name}"].values, value.detach().numpy(), rtol=0, atol=1e-12)


def test_pools_are_the_members_own(names: dict[str, Any]) -> None:
    """All of a member's batches are about its pool's lines; a larger pool begins with a smaller one."""
    task = names["Lines"]()
    for seed in (0, 4):
        few, many = (task.pool(Member({"pool": n}, seed), streams(seed)) for n in (1, 8))
        assert np.array_equal(few, many[:1])
        for step in (1, 2):
            x, y = task.batch(Member({"pool": 1, "shots": 3}, seed), streams(seed), step, 5)
            np.testing.assert_allclose(x[:, -1, :2] @ few[0], y[:, 0], rtol=1e-12)
            np.testing.assert_allclose(x[:, 1::2, :2] @ few[0], x[:, 1::2, 2], rtol=1e-12)


@pytest.mark.parametrize("given", ["one task", "a function of the member"])
def test_pools_share_a_tile_and_no_record(names: dict[str, Any], given: str) -> None:
    """Whatever their pools, members with contexts of one length are stacked; what they learn from names each record."""
    lines = names["Lines"]()
    found = jobs(network(), lines if given == "one task" else lambda member: lines, GRID, RECIPE)
    assert len({job.shape_key for job in found}) == 2
    assert len({job.shape_key for job in found if job.member["shots"] == 3}) == 1
    assert len({str(job.identity) for job in found}) == len(GRID)


def test_every_question_can_be_answered() -> None:
    """One label for each question, each a sample of its own: torch's cross-entropy over all of them."""
    generator = streams(0)("sequences")
    points, labels = generator.standard_normal((12, 5, 3)), generator.integers(0, 4, (12, 3))
    table = ps.tasks.Table("answers", points, labels, 4, train_fraction=0.5)
    net = Decoder(3, 4, vectors=True, width=8, heads=2, layers=1, mask="examples", read="questions", init="torch")
    recipe = Recipe(optimizer="sgd", lr=0.5, steps=2, records=2, loss="cross_entropy", dtype="float64")
    data = ps.train(net, table, Grid(), recipe, [ps.instruments.logits.train_loss], device="cpu", engine="stacked")
    own, draw = initialized(net, 0).double(), table.draw(Member({}, 0), streams(0))
    x, y = (torch.from_numpy(part[draw.train]) for part in (draw.inputs, draw.labels))
    rule = torch.optim.SGD(own.parameters(), 0.5)
    for step in range(3):
        loss = torch.nn.functional.cross_entropy(own(x).flatten(0, 1), y.flatten().long())
        if step in data.step:
            assert data.train_loss.sel(step=step).item() == pytest.approx(loss.item(), rel=1e-9)
        rule.zero_grad()
        loss.backward()
        rule.step()


@pytest.mark.slow
def test_the_page_says_what_it_prints(names: dict[str, Any]) -> None:
    """The example as it stands, and its table to a fifth: after a thousand steps other roundings are seen."""
    exec(blocks()[1], names)
    printed = re.findall(r"^    .* (\d\.\d{6})$", PAGE.read_text("utf-8"), re.MULTILINE)
    found = ps.last(names["data"].test_loss).mean("seed").values.ravel()
    np.testing.assert_allclose(found, [float(number) for number in printed], rtol=0.2)
