"""Recipes: every rate, loss, optimizer and limit beside torch's own, or beside a plain loop of the paper's formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import phasescope as ps
from phasescope.ensemble.jobs import jobs
from phasescope.ensemble.rates import factor
from phasescope.ensemble.rules import orthogonal
from phasescope.ensemble.streams import batch_order, replaced_order, streams
from phasescope.store import Store
from phasescope.vocabulary import BadInput, Grid, Member, Recipe

CPU: dict[str, Any] = {"device": "cpu", "workers": 1}
ENGINES: dict[str, dict[str, Any]] = {"looped": {}, "traced": {"tile": 2}}
STEPS = 7
Take = Callable[[int, dict[str, nn.Parameter]], None]


class Small(nn.Module):
    """Two layers with a norm between them: matrices, biases and norms."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(5, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.norm(self.a(x))))  # type: ignore[no-any-return]


def points(rows: int = 20, **how: Any) -> ps.tasks.Table:
    g = np.random.default_rng(0)
    return ps.tasks.Table("points", g.standard_normal((rows, 5)), g.integers(0, 3, rows), 3, **how)


def recipe_of(**own: Any) -> Recipe:
    usual = {"steps": STEPS, "records": 3, "batch": 8, "loss": "cross_entropy", "dtype": "float64", "lr": 0.05}
    return Recipe(**{**usual, **own})


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets.long())


def literal(job: Any, begin: Callable[[nn.Module, Any], Take], loss: Any = cross_entropy) -> dict[str, np.ndarray]:
    """Train one network in plain torch: ``begin(network, recipe)`` gives what takes a step, gradients being there."""
    module, draw, recipe = job.begun().double(), job.draw(), job.recipe
    x, y = torch.from_numpy(draw.inputs).double(), torch.from_numpy(draw.labels)
    take = begin(module, recipe)
    for step in range(1, recipe.steps + 1):
        rows = torch.from_numpy(batch_order(job.member.seed, draw.train, recipe.batch, step, 1)[0]).long()
        module.zero_grad()
        loss(module(x[rows]), y[rows]).backward()
        with torch.no_grad():
            take(step, dict(module.named_parameters()))
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def torchs(kind: Any, schedule: Any = None, limit: Any = None, **own: Any) -> Callable[[nn.Module, Any], Take]:
    """Return steps by torch's own optimizer, scheduler and limits; ``own`` are functions of the recipe."""

    def begin(module: nn.Module, recipe: Any) -> Take:
        rule = kind(module.parameters(), recipe.lr, **{name: value(recipe) for name, value in own.items()})
        rates = schedule(rule, recipe) if schedule else None

        def take(step: int, parameters: Mapping[str, nn.Parameter]) -> None:
            if limit:
                limit(module, recipe)
            rule.step()
            if rates:
                rates.step()

        return take

    return begin


def law_recipe(
    recipe: Recipe, begin: Callable[[nn.Module, Any], Take], axes: Mapping[str, Any], loss: Any = cross_entropy,
    network: Callable[[], nn.Module] = Small, task: Any = None,
) -> None:  # fmt: skip
    """Every member of a small grid ends where the plain loop ends, to 1e-12, one by one and in traced tiles of two."""
    grid = Grid({name: tuple(values) for name, values in axes.items()}, seeds=2)
    task = task or points()
    expected = [literal(job, begin, loss) for job in jobs(network(), task, grid, recipe)]
    for engine, how in ENGINES.items():
        found = ps.train(network(), task, grid, recipe, engine=engine, **CPU, **how)  # type: ignore[arg-type]
        for member, right in zip(grid, expected, strict=True):
            mine = ps.final(found, **member.knobs, seed=member.seed)
            for name, value in right.items():
                off = float(np.abs(mine[name] - value).max()) / max(1.0, float(np.abs(value).max()))
                assert off < 1e-12, f"{engine}, {member}: {name} is off by {off}"


# -- rates ----------------------------------------------------------------------------------------------------------------


def sequential(after: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return torch's warm-up, and a schedule after it."""

    def schedule(rule: Any, recipe: Any) -> Any:
        if not recipe.warmup:
            return after(rule, recipe)
        warm = lr_scheduler.LinearLR(rule, 1 / recipe.warmup, total_iters=max(recipe.warmup - 1, 1))
        return lr_scheduler.SequentialLR(rule, [warm, after(rule, recipe)], [recipe.warmup])

    return schedule


SCHEDULES: dict[str, tuple[dict[str, Any], Any]] = {
    "constant": ({}, lambda rule, r: lr_scheduler.ConstantLR(rule, 1.0)),
    "linear": ({"lr_floor": 0.2}, lambda rule, r: lr_scheduler.LinearLR(rule, 1.0, r.lr_floor, r.steps - r.warmup)),
    "cosine": (
        {"lr_floor": 0.1},
        lambda rule, r: lr_scheduler.CosineAnnealingLR(rule, r.steps - r.warmup, r.lr_floor * r.lr),
    ),
    "step": (
        {"drop_every": 2, "drop_factor": 0.3},
        lambda rule, r: lr_scheduler.StepLR(rule, r.drop_every, r.drop_factor),
    ),
}


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_rate_is_torchs(name: str, warmup: int) -> None:
    own, after = SCHEDULES[name]
    recipe = recipe_of(schedule=name, warmup=warmup, steps=40, **own)
    rule = torch.optim.SGD([nn.Parameter(torch.zeros(1))], recipe.lr)
    schedule = sequential(after)(rule, recipe)
    for step in range(1, 41):
        mine = recipe.lr * factor(recipe.schedule, dict(recipe), step, recipe.steps)
        assert mine == pytest.approx(rule.param_groups[0]["lr"], rel=1e-12), f"step {step}"
        rule.step()
        schedule.step()


@pytest.mark.parametrize("name", ["linear", "cosine", "step"])
def test_training_follows_the_rate(name: str) -> None:
    own, after = SCHEDULES[name]
    betas = {"betas": lambda r: (r.beta1, r.beta2), "weight_decay": lambda r: r.weight_decay}
    recipe = recipe_of(schedule=name, weight_decay=0.5, **own)
    law_recipe(recipe, torchs(torch.optim.AdamW, sequential(after), **betas), {"warmup": (0, 3)})


def root(step: int) -> float:
    return 1 / math.sqrt(step)


def test_a_schedule_of_ones_own() -> None:
    begin = torchs(torch.optim.SGD, lambda rule, r: lr_scheduler.LambdaLR(rule, lambda k: root(k + 1)))
    law_recipe(recipe_of(optimizer="sgd", schedule=root), begin, {"lr": (0.1, 0.3)})


# -- losses ---------------------------------------------------------------------------------------------------------------

ADAM = torchs(torch.optim.AdamW, betas=lambda r: (r.beta1, r.beta2), weight_decay=lambda r: r.weight_decay)


def focal(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy that counts less what is known already (Lin et al. 2017, arXiv:1708.02002, Eq. 4)."""
    each = functional.cross_entropy(outputs, targets, reduction="none")
    return (1 - torch.exp(-each)).square() * each


def test_a_loss_of_ones_own() -> None:
    law_recipe(recipe_of(loss=focal), ADAM, {"lr": (0.01, 0.05)}, lambda out, y: focal(out, y.long()).mean())


def test_label_smoothing_is_torchs() -> None:
    for smoothing in (0.0, 0.2):
        loss = lambda out, y, by=smoothing: functional.cross_entropy(out, y.long(), label_smoothing=by)  # noqa: E731
        law_recipe(recipe_of(label_smoothing=smoothing), ADAM, {"lr": (0.01,)}, loss)


def test_label_smoothing_as_an_axis() -> None:
    """It is one number for all of a tile, so that members are bundled by it."""
    grid = Grid({"label_smoothing": (0.0, 0.2)}, seeds=2)
    found = ps.train(Small(), points(), grid, recipe_of(), [ps.instruments.logits.train_loss], engine="stacked", **CPU)
    for value in (0.0, 0.2):
        one = ps.train(Small(), points(), Grid(seeds=2), recipe_of(label_smoothing=value),
                       [ps.instruments.logits.train_loss], engine="stacked", **CPU)  # fmt: skip
        np.testing.assert_array_equal(found.train_loss.sel(label_smoothing=value), one.train_loss)


# -- optimizers of one's own, limits, groups ------------------------------------------------------------------------------


def heavy_ball(
    parameters: dict[str, Tensor], gradients: dict[str, Tensor], state: dict[str, Tensor], step: int, lr: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Polyak's heavy ball, as torch's SGD with momentum 0.9."""
    velocity = {name: 0.9 * state[name] + g if state else g for name, g in gradients.items()}
    return {name: p - lr * velocity[name] for name, p in parameters.items()}, velocity


def balanced(
    parameters: dict[str, Tensor], gradients: dict[str, Tensor], state: dict[str, Tensor], step: int, lr: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The same, with a branch on a value: ``vmap`` can not follow it."""
    return heavy_ball(parameters, gradients, state, step, lr if float(lr) > 0 else 0 * lr)


@pytest.mark.parametrize("rule", [heavy_ball, balanced])
def test_an_optimizer_of_ones_own(rule: Any) -> None:
    axes = {"lr": (0.05, 0.2), "warmup": (0, 3)}
    begin = torchs(
        torch.optim.SGD, sequential(SCHEDULES["constant"][1]), limit=lambda m, r: decayed_by_hand(m, r),
        momentum=lambda r: 0.9,
    )  # fmt: skip
    law_recipe(recipe_of(optimizer=rule), begin, axes)


def decayed_by_hand(module: nn.Module, recipe: Any) -> None:
    for p in module.parameters():
        p.mul_(1 - recipe.lr * recipe.weight_decay)


LIMITS: dict[str, tuple[dict[str, Any], Any]] = {
    "clip_norm": (
        {"clip_norm": (0.3, 0.8, math.inf)}, lambda m, r: nn.utils.clip_grad_norm_(m.parameters(), r.clip_norm)
    ),
    "clip_value": ({"clip_value": (0.02, 0.1)}, lambda m, r: nn.utils.clip_grad_value_(m.parameters(), r.clip_value)),
}  # fmt: skip


def law_limit(name: str) -> None:
    axes, limit = LIMITS[name]
    begin = torchs(torch.optim.SGD, limit=limit, momentum=lambda r: r.momentum)
    law_recipe(recipe_of(optimizer="sgd", momentum=0.9), begin, axes)


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_torchs(name: str) -> None:
    law_limit(name)


def by_name(name: str, shape: tuple[int, ...]) -> float:
    return 0.0 if name.endswith("bias") else 0.5 if len(shape) == 1 else 1.0


@pytest.mark.parametrize("decayed", ["matrices", by_name])
def test_weight_decay_by_group(decayed: Any) -> None:
    def begin(module: nn.Module, recipe: Any) -> Take:
        groups = [
            {"params": [p], "weight_decay": recipe.weight_decay * (
                float(p.ndim > 1) if decayed == "matrices" else by_name(name, tuple(p.shape)))}
            for name, p in module.named_parameters()
        ]  # fmt: skip
        rule = torch.optim.AdamW(groups, recipe.lr, betas=(recipe.beta1, recipe.beta2))
        return lambda step, parameters: rule.step()

    law_recipe(recipe_of(decayed=decayed), begin, {"weight_decay": (0.0, 2.0)})


# -- a loss per position --------------------------------------------------------------------------------------------------


class Sequences(nn.Module):
    """Answers every position (N, T, K) from those up to it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(4, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.embed(x).cumsum(1)))  # type: ignore[no-any-return]


def sequences(rows: int = 18, length: int = 5, counted: float = 0.6, **how: Any) -> ps.tasks.Table:
    """Running sums modulo 4; a part of the positions does not count."""
    g = np.random.default_rng(1)
    tokens = g.integers(0, 4, (rows, length))
    labels = tokens.cumsum(1) % 4
    mask = g.random(labels.shape) < counted
    mask[:, -1] = True
    return ps.tasks.Table("sums", tokens, np.where(mask, labels, -100), 4, **how)


def over_positions(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, 1), labels.flatten().long())


def own_positions(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


class Whole(Sequences):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.long())


@pytest.mark.parametrize("loss", ["cross_entropy", own_positions])
def test_a_loss_per_position_is_torchs(loss: Any) -> None:
    begin = torchs(torch.optim.AdamW, betas=lambda r: (r.beta1, r.beta2), weight_decay=lambda r: r.weight_decay)

    def plain(module: nn.Module, recipe: Any) -> Take:
        return begin(module, recipe)

    law_recipe(recipe_of(loss=loss), plain, {"lr": (0.01, 0.05)}, over_positions, Whole, sequences())


def law_positions_are_read() -> None:
    """Losses and accuracies are those of the positions that count, each a sample of its own; the watcher's too."""
    table, recipe = sequences(), recipe_of(steps=60, records=8, batch=None, level=0.5)
    watch = [*ps.instruments.LEARNING, ps.instruments.norms.gradient_norm, ps.instruments.logits.correct_logit]
    for engine in ("looped", "stacked"):
        found = ps.train(Whole(), table, Grid(seeds=2), recipe, watch, engine=engine, **CPU)  # type: ignore[arg-type]
        for job in jobs(Whole(), table, Grid(seeds=2), recipe):
            draw, module = job.draw(), Whole().double()
            final = ps.final(found, seed=job.member.seed)
            module.load_state_dict({name: torch.from_numpy(value) for name, value in final.items()})
            end = found.sel(seed=job.member.seed).isel(step=-1)
            for part in ("train", "test"):
                rows = getattr(draw, part)
                out, labels = module(torch.from_numpy(draw.inputs[rows])), torch.from_numpy(draw.labels[rows]).long()
                right = (out.argmax(-1) == labels)[labels != -100].double().mean()
                loss = over_positions(out, labels)
                assert float(end[f"{part}_accuracy"]) == pytest.approx(float(right), abs=1e-12)
                assert float(end[f"{part}_loss"]) == pytest.approx(loss.item(), rel=1e-12)
                if part == "train":
                    norm = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))]).norm()
                    assert float(end["gradient_norm"]) == pytest.approx(float(norm), rel=1e-9)
        reached = (found.test_accuracy >= recipe.level).any("step")
        assert ((found.fate == "generalized") == reached).all() and reached.any(), found.test_accuracy.values


def test_positions_are_read() -> None:
    law_positions_are_read()


# -- what is refused ------------------------------------------------------------------------------------------------------


DRAWS = np.random.default_rng(0)


def by_chance(step: int) -> float:
    return DRAWS.random()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a schedule of two": ({"schedule": lambda step, steps: 1.0}, "schedule is the function <lambda>: it must be a function of"),
    "a negative rate": ({"schedule": lambda step: -1.0}, "schedule(1) is -1.0: let it return the factor on lr"),
    "a loss of one number": ({"loss": lambda o, t: o.mean()}, "it must give a tensor (3,) of real numbers, the loss of each sample"),
    "a loss without gradient": ({"loss": lambda o, t: o.detach().sum(1)}, "what loss gives has no gradient"),
    "a loss that fails": ({"loss": lambda o, t: o @ t}, "loss fails on outputs (3, 3) and targets (3,), torch.int64:"),
    "a loss that draws": ({"loss": lambda o, t: o.sum(1) * torch.rand(())}, "draws random numbers from a global generator"),
    "an optimizer of three": ({"optimizer": lambda p, g, s: p}, "it must be a function of (parameters, gradients, state,"),
    "an optimizer without state": ({"optimizer": lambda p, g, s, k, lr: p}, "it must give a pair of dicts, parameters and state"),
    "an optimizer that loses": ({"optimizer": lambda p, g, s, k, lr: ({}, {})}, "its first dict must have every parameter"),
    "an optimizer that counts": ({"optimizer": lambda p, g, s, k, lr: (p, {"k": k})}, "must hold tensors by name"),
    "an optimizer in place": (
        {"optimizer": lambda p, g, s, k, lr: ({n: v.sub_(lr * g[n]) for n, v in p.items()}, {})}, "changes what it is given",
    ),
    "decay by a word": ({"decayed": lambda name, shape: "no"}, "is 'no': let it return the factor on weight_decay"),
    "code that can not be told": ({"schedule": by_chance}, "schedule of the recipe:"),
    "smoothing of squares": ({"loss": "mse", "label_smoothing": 0.1}, "label_smoothing is 0.1, and loss is 'mse'"),
    "steps without length": ({"schedule": "step"}, "drop_every is 0, and schedule is 'step'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_used_is_refused(name: str) -> None:
    own, sentence = REFUSED[name]
    with pytest.raises(BadInput) as error:
        ps.train(Small(), points(), Grid(), recipe_of(**own), **CPU)
    assert sentence in str(error.value), str(error.value)


def test_the_compiled_engine_leaves_out_what_it_does_not_know() -> None:
    for own in ({"schedule": "cosine"}, {"clip_norm": 1.0}, {"optimizer": heavy_ball}, {"decayed": "matrices"}):
        recipe = Recipe(steps=2, records=2, **own)
        with pytest.raises(BadInput, match="engine is 'fused', which needs"):
            ps.train(ps.learners.PowerMLP(5, 4), ps.tasks.addition(5), Grid(), recipe, engine="fused", **CPU)
        ps.train(ps.learners.PowerMLP(5, 4), ps.tasks.addition(5), Grid(), recipe, **CPU)


# -- identity and resuming ------------------------------------------------------------------------------------------------


def test_functions_are_told_apart_by_their_code() -> None:
    def of(value: Any, by: float = 1.0) -> Any:
        recipe = recipe_of(schedule=value)
        return jobs(Small(), points(), Grid(), recipe)[0]

    def halved(by: float) -> Callable[[int], float]:
        return lambda step: by / step

    one, same, other = of(halved(1.0)), of(halved(1.0)), of(halved(2.0))
    assert one.identity == same.identity != other.identity
    assert one.shape_key == same.shape_key != other.shape_key


@pytest.mark.parametrize("engine", ["looped", "traced"])
def test_a_run_of_ones_own_is_taken_up_again(engine: Any, tmp_path: Path) -> None:
    recipe = recipe_of(optimizer=heavy_ball, schedule=root, clip_norm=0.5, steps=12, records=6)
    how: dict[str, Any] = {"engine": engine, "tile": 2 if engine == "traced" else None, **CPU}
    whole = ps.train(Small(), points(), Grid(seeds=3), recipe, ps.instruments.LEARNING, **how)
    store = Store(tmp_path)

    def stop(progress: Any) -> None:
        if progress.steps_done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(ps.Interrupted):
        ps.train(
            Small(), points(), Grid(seeds=3), recipe, ps.instruments.LEARNING, keeper=store, on_progress=stop,
            checkpoint_every=0.0, **how,
        )  # fmt: skip
    again = ps.train(Small(), points(), Grid(seeds=3), recipe, ps.instruments.LEARNING, keeper=store, **how)
    for name in [n for n in whole.data_vars if n != "seconds"]:
        assert whole[name].values.tobytes() == again[name].values.tobytes(), name


# -- test sets that are given, and folds ----------------------------------------------------------------------------------


def test_a_test_set_of_ones_own() -> None:
    whole = points(30)
    apart = ps.tasks.Table(
        "points", whole.inputs[:20], whole.labels[:20], 3, test=(whole.inputs[20:], whole.labels[20:])
    )
    rows = ps.tasks.Table("points", whole.inputs, whole.labels, 3, test_rows=np.arange(30) >= 20)
    for table in (apart, rows, replace(apart, corruption=0.0)):
        for seed in range(3):
            all_of, half = (table.draw(Member(knobs, seed), streams(seed)) for knobs in ({}, {"train_fraction": 0.5}))
            assert all_of.train.tolist() == list(range(20)) and all_of.test.tolist() == list(range(20, 30))
            assert (
                len(half.train) == 10
                and set(half.train) < set(range(20))
                and half.test.tolist() == all_of.test.tolist()
            )
            np.testing.assert_array_equal(all_of.inputs, whole.inputs)
    corrupted = apart.draw(Member({"corruption": 1.0}, 1), streams(1))
    assert (corrupted.labels[20:] == whole.labels[20:]).all() and len(corrupted.corrupted) == 20
    ends = [
        ps.train(Small(), table, Grid(seeds=2), recipe_of(), ps.instruments.LEARNING, **CPU) for table in (apart, rows)
    ]
    np.testing.assert_array_equal(ends[0].test_loss, ends[1].test_loss)


def test_folds_cover_the_table_once() -> None:
    table = points(23, folds=4)
    for seed in range(3):
        draws = [table.draw(Member({"fold": fold}, seed), streams(seed)) for fold in range(4)]
        assert sorted(np.concatenate([d.test for d in draws]).tolist()) == list(range(23))
        assert all(set(d.train) == set(range(23)) - set(d.test.tolist()) for d in draws)
    found = ps.train(Small(), table, Grid({"fold": (0, 1, 2, 3)}, seeds=2), recipe_of(), ps.instruments.LEARNING, **CPU)
    assert found.sizes["fold"] == 4 and bool(np.isfinite(found.test_loss).all())


TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"test_rows": [1], "folds": 3}, "give one of test, test_rows and folds"),
    "one fold": ({"folds": 1}, "give one of test, test_rows and folds"),
    "too many folds": ({"folds": 21}, "folds of 'points' is 21, and it has 20 rows"),
    "all rows": ({"test_rows": np.arange(20)}, "20 of the 20 rows of 'points' test: leave some for training"),
    "a row that is not there": ({"test_rows": [20]}, "each must be a row from 0 to 19"),
    "no pair": ({"test": np.zeros((3, 5))}, "give a pair, (inputs, labels)"),
    "narrow rows": ({"test": (np.zeros((3, 4)), [0, 1, 2])}, "give rows of one shape and kind"),
    "real labels": ({"test": (np.zeros((3, 5)), np.zeros((3, 3)))}, "give rows of one shape and kind"),
    "nothing trains": ({"test_rows": [1], "train_fraction": 0.0}, "train_fraction is 0.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_bad_test_sets_are_refused(name: str) -> None:
    own, sentence = TABLES[name]
    with pytest.raises(BadInput) as error:
        points(**own)
    assert sentence in str(error.value), str(error.value)


# -- weights kept along the way -------------------------------------------------------------------------------------------

KEPT_BY: dict[str, tuple[Callable[[], nn.Module], Any, dict[str, Any]]] = {
    "looped": (Small, points(), {"engine": "looped"}),
    "traced": (Small, points(), {"engine": "traced", "tile": 2}),
    "fused": (lambda: ps.learners.PowerMLP(5, 8, batch_norm=True), ps.tasks.addition(5), {"engine": "fused"}),
}


KEPT_WEIGHT = {"looped": "kept.a.weight", "traced": "kept.a.weight", "fused": "kept.embed"}


@pytest.mark.parametrize("name", KEPT_BY)
def test_kept_weights_are_read_as_they_were_watched(name: str) -> None:
    network, task, how = KEPT_BY[name]
    recipe = recipe_of(steps=40, records=6, overtime=1.0, patience=1.0, level=0.55)
    grid, watch = Grid({"lr": (0.002, 0.3)}, seeds=2), [*ps.instruments.LEARNING, ps.instruments.norms.weight_norm]
    data = ps.train(network(), task, grid, recipe, watch, keep="all", **CPU, **how)
    again = ps.measure(network(), task, grid, watch, loss="cross_entropy", weights=data)
    assert again["step"].values.tolist() == data["kept"].values.tolist() == data["step"].values.tolist()
    for instrument in watch:
        np.testing.assert_allclose(again[instrument.name], data[instrument.name], rtol=1e-12, atol=1e-14)
    left = [int(step) for step in data["last_step"].values.ravel()]
    unwatched = ps.train(network(), task, grid, recipe, keep="all", **CPU, **how)
    assert unwatched["last_step"].values.ravel().tolist() == left
    np.testing.assert_array_equal(unwatched[KEPT_WEIGHT[name]], data[KEPT_WEIGHT[name]])
    assert min(left) < recipe.steps, "nobody left early: nothing was padded"
    for member, last in zip(grid, left, strict=True):
        cell = {**member.knobs, "seed": member.seed}
        for key, value in ps.final(data, **cell).items():
            np.testing.assert_array_equal(value, ps.final(data, step=last, **cell)[key])
    with pytest.raises(BadInput, match="the member had left at step"):
        ps.final(data, step=40, **grid_cell(grid, left.index(min(left))))


def grid_cell(grid: Grid, place: int) -> dict[str, Any]:
    member = list(grid)[place]
    return {**member.knobs, "seed": member.seed}


def wide(member: Member) -> nn.Module:
    return nn.Sequential(nn.Linear(5, int(member["width"])), nn.Tanh(), nn.Linear(int(member["width"]), 3))


def test_kept_weights_of_networks_of_several_sizes(tmp_path: Path) -> None:
    """And what is kept is in the store, and in a checkpoint."""
    grid, recipe, store = Grid({"width": (2, 4)}, seeds=2), recipe_of(steps=30, records=5), Store(tmp_path)
    how: dict[str, Any] = {"engine": "stacked", "keep": [0, 2, 30], **CPU}
    whole = ps.train(wide, points(), grid, recipe, **how)
    assert whole["kept"].values.tolist() == [0, 2, 30]

    def stop(progress: Any) -> None:
        if progress.steps_done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(ps.Interrupted):
        ps.train(wide, points(), grid, recipe, keeper=store, on_progress=stop, checkpoint_every=0.0, **how)
    for found in (ps.train(wide, points(), grid, recipe, keeper=store, **how) for _ in range(2)):
        assert found.drop_vars("seconds").identical(whole.drop_vars("seconds"))
    assert ps.final(whole, step=2, width=2, seed=1)["0.weight"].shape == (2, 5)
    read = ps.measure(wide, points(), grid, ps.instruments.LEARNING, loss="cross_entropy", weights=whole)
    assert read.sizes["step"] == 3 and bool(np.isfinite(read.test_loss).all())


def test_what_was_not_kept_is_said() -> None:
    recipe, watch = recipe_of(), ps.instruments.LEARNING
    with pytest.raises(BadInput, match=r"keep has 4, which is no recorded step: near are 1, 3, 7"):
        ps.train(Small(), points(), Grid(), recipe, keep=[4], **CPU)
    data = ps.train(Small(), points(), Grid(), recipe, keep=[3], engine="looped", **CPU)
    with pytest.raises(BadInput, match=r"no weights were kept at step 7: there are those of \[3\]"):
        ps.final(data, step=7)
    with pytest.raises(BadInput, match="weights have other values of 'seed' than the grid"):
        ps.measure(Small(), points(), Grid(seeds=2), watch, weights=data)
    with pytest.raises(BadInput, match="give the learner that was trained"):
        ps.measure(nn.Linear(5, 3), points(), Grid(), watch, weights=data)
    with pytest.raises(BadInput, match="no weights were kept in this Dataset"):
        ps.measure(Small(), points(), Grid(), watch, weights=data.drop_dims("kept"))


# -- optimizers beside torch's, or the paper's formula ---------------------------------------------------------------------


def by_formula(begin: Callable[[dict[str, Tensor], Any], Callable[[int, str, Tensor, Tensor], Tensor]]) -> Any:
    """Return steps by a formula of one parameter: (step, name, parameter, gradient) -> the change."""

    def network(module: nn.Module, recipe: Any) -> Take:
        change = begin({name: torch.zeros_like(p) for name, p in module.named_parameters()}, recipe)

        def take(step: int, parameters: Mapping[str, nn.Parameter]) -> None:
            for name, p in parameters.items():
                assert p.grad is not None
                p.sub_(change(step, name, p.detach().clone(), p.grad))

        return take

    return network


def lion(m: dict[str, Tensor], r: Any) -> Any:
    def change(step: int, name: str, p: Tensor, g: Tensor) -> Tensor:
        update = torch.sign(r.beta1 * m[name] + (1 - r.beta1) * g) + r.weight_decay * p
        m[name] = r.beta2 * m[name] + (1 - r.beta2) * g
        return r.lr * update

    return change


def muon(m: dict[str, Tensor], r: Any) -> Any:
    """Jordan's Muon: the polynomial a s + b s^3 + c s^5, five times, on the singular values; AdamW for vectors."""
    v = {name: torch.zeros_like(value) for name, value in m.items()}

    def change(step: int, name: str, p: Tensor, g: Tensor) -> Tensor:
        if p.ndim < 2:
            rate, (b1, b2) = r.lr * r.lr_others, (r.beta1, r.beta2)
            m[name], v[name] = b1 * m[name] + (1 - b1) * g, b2 * v[name] + (1 - b2) * g * g
            update = m[name] / (1 - b1**step) / ((v[name] / (1 - b2**step)).sqrt() + r.eps)
            return rate * (update + r.weight_decay * p)
        m[name] = r.momentum * m[name] + (1 - r.momentum) * g
        left, s, right = torch.linalg.svd(r.momentum * m[name] + (1 - r.momentum) * g, full_matrices=False)
        s = s / (s.square().sum().sqrt() + 1e-7)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        update = left @ torch.diag(s) @ right * max(1.0, p.shape[0] / p.shape[1]) ** 0.5
        return r.lr * (update + r.weight_decay * p)

    return change


def rmsprop(module: nn.Module, recipe: Any) -> Take:
    rule = torch.optim.RMSprop(module.parameters(), recipe.lr, recipe.beta2, recipe.eps, momentum=recipe.momentum)

    def take(step: int, parameters: Mapping[str, nn.Parameter]) -> None:
        decayed_by_hand(module, recipe)
        rule.step()

    return take


def nesterov(module: nn.Module, recipe: Any) -> Take:
    rule = torch.optim.SGD(module.parameters(), recipe.lr, recipe.momentum, nesterov=recipe.momentum > 0)

    def take(step: int, parameters: Mapping[str, nn.Parameter]) -> None:
        decayed_by_hand(module, recipe)
        rule.step()

    return take


OPTIMIZERS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "nesterov": (nesterov, {"weight_decay": 0.3}, {"momentum": (0.0, 0.9)}),
    "rmsprop": (
        rmsprop,
        {"lr": 0.01, "beta2": 0.95, "eps": 1e-4},
        {"momentum": (0.0, 0.8), "weight_decay": (0.0, 0.5)},
    ),
    "lion": (by_formula(lion), {"beta2": 0.99, "weight_decay": 0.5}, {"lr": (0.01, 0.03), "beta1": (0.8, 0.9)}),
    "muon": (by_formula(muon), {"momentum": 0.95, "eps": 1e-4}, {"weight_decay": (0.0, 0.5), "lr_others": (0.1, 0.5)}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_torchs_or_the_papers(name: str) -> None:
    begin, own, axes = OPTIMIZERS[name]
    law_recipe(recipe_of(optimizer=name, **own), begin, axes)


def test_muons_kernels_are_matrices() -> None:
    kernels = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = orthogonal(kernels.flatten(2))
    assert made.shape == (2, 4, 12)
    assert torch.linalg.svdvals(made).sub(0.95).abs().max() < 0.3  # Jordan: between 0.7 and 1.2


def law_sharp() -> None:
    """Sharpness-aware descent: the gradient is that of the place ``rho`` uphill, each member on its own slope."""

    table = points(20, test_rows=np.arange(14, 20))
    x, y = torch.from_numpy(table.inputs[:14]).double(), torch.from_numpy(table.labels[:14])

    class Steps:
        def __init__(self, module: nn.Module, recipe: Any) -> None:
            self.module, self.recipe = module, recipe

        def __call__(self, step: int, parameters: Mapping[str, nn.Parameter]) -> None:
            gradients = [p.grad.clone() for p in parameters.values() if p.grad is not None]
            norm = torch.cat([g.flatten() for g in gradients]).norm()
            moved = {n: p + self.recipe.sam * g / norm for (n, p), g in zip(parameters.items(), gradients, strict=True)}
            with torch.enable_grad():
                moved = {n: p.requires_grad_() for n, p in moved.items()}
                out = torch.func.functional_call(self.module, moved, (x,))
                higher = torch.autograd.grad(cross_entropy(out, y), list(moved.values()))
            for p, g in zip(parameters.values(), higher, strict=True):
                p.sub_(self.recipe.lr * g)

    recipe = recipe_of(optimizer="sgd", batch=14)
    law_recipe(recipe, Steps, {"lr": (0.1, 0.3), "sam": (0.05, 0.5)}, task=table)


def test_sharpness_is_foret_et_als() -> None:
    law_sharp()


# -- averages of the weights ----------------------------------------------------------------------------------------------


class Averaged(nn.Module):
    """A network and torch's own average of it, which begins with the first weights."""

    def __init__(self, inner: nn.Module, b: float) -> None:
        super().__init__()
        self.mean = AveragedModel(inner, multi_avg_fn=get_ema_multi_avg_fn(b))
        self.mean.update_parameters(inner)


@pytest.mark.parametrize("rule", ["sgd", heavy_ball])
def test_the_average_is_torchs(rule: Any) -> None:
    recipe, grid = recipe_of(optimizer=rule, lr=0.2), Grid({"average": (0.0, 0.5, 0.9), "lr": (0.1, 0.2)}, seeds=2)
    means: list[Averaged] = []

    def begin(module: nn.Module, recipe: Any) -> Take:
        means.append(Averaged(module, recipe.average))
        rule = torch.optim.SGD(module.parameters(), recipe.lr, momentum=0.9 if callable(recipe.optimizer) else 0.0)

        def take(step: int, parameters: Mapping[str, nn.Parameter]) -> None:
            rule.step()
            means[-1].mean.update_parameters(module)

        return take

    for job in jobs(Small(), points(), grid, recipe):
        literal(job, begin)
    rate = ps.instruments.norms.weight_norm
    for engine, how in ENGINES.items():
        found = ps.train(Small(), points(), grid, recipe, [rate], engine=engine, **CPU, **how)  # type: ignore[arg-type]
        for member, right in zip(grid, means, strict=True):
            cell = {**member.knobs, "seed": member.seed}
            mine = {name: value for name, value in ps.final(found, **cell).items() if name.startswith("average.")}
            if not member["average"]:
                assert not mine and bool(np.isnan(found["average.weight_norm"].sel(cell)).all())
                continue
            for name, value in right.mean.module.named_parameters():
                assert np.abs(mine[f"average.{name}"] - value.detach().numpy()).max() < 1e-12
            norm = torch.cat([p.detach().flatten() for p in right.mean.module.parameters()]).norm()
            assert float(found["average.weight_norm"].sel(cell)[-1]) == pytest.approx(float(norm), rel=1e-12)


# -- mini-batches with replacement ----------------------------------------------------------------------------------------


def test_rows_are_drawn_with_replacement() -> None:
    rows = np.arange(3, 13, dtype=np.int32)
    whole = replaced_order(5, rows, 7, 1, 300)
    assert whole.shape == (300, 7) and set(whole.ravel()) == set(rows.tolist())
    for first, count in ((1, 1), (60, 10), (64, 1), (65, 70), (128, 173)):
        np.testing.assert_array_equal(replaced_order(5, rows, 7, first, count), whole[first - 1 : first - 1 + count])
    counts = np.bincount(whole.ravel())[3:]
    expected = whole.size / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-squared with 9 degrees of freedom, 0.1 %
    assert any(len(set(batch)) < 7 for batch in whole.tolist())
    assert (replaced_order(6, rows, 7, 1, 300) != whole).any()


def test_training_with_replacement_is_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "batch_order", replaced_order)
    for batch in (8, 10, 15):  # 10 rows train: a batch may be as large, or larger
        law_recipe(recipe_of(sampling="replacement", batch=batch), ADAM, {"lr": (0.01,)})
