"""The experiments of ``autoinit``."""

from __future__ import annotations

from functools import partial

from phasescope.ensemble import Quantity, Simulation
from phasescope.instruments.logits import LEARNING
from phasescope.lab.study import Experiment
from phasescope.learners import SignalNetwork
from phasescope.studies.autoinit.networks import CLOSE, FINE, WAYS, Initialized, begun, network_of, tuned_network
from phasescope.studies.autoinit.settings import ENDS, STARTS, AutoInitSettings
from phasescope.tasks.images import digits, fashion_mnist
from phasescope.tasks.table import Table
from phasescope.vocabulary import Grid, Member, Recipe

PAPER = "He et al. 2022, arXiv:2206.13568"
FACTORS = (0.1, 0.25, 0.5, 0.75, 1.25)
MLPS = {
    "He": (2.0, "as drawn"),
    "AutoInit": (1.0, "as drawn + autoinit"),  # from any other start it is the same network: claim deep-same
    "untuned 1": (1.0, "as drawn"),
}


def pictures(s: AutoInitSettings) -> Table:
    """Return the images that are learnt."""
    return fashion_mnist(s.images, size=s.side) if s.images else digits()


def mlp(width: int, depth: int, inputs: int, member: Member) -> Initialized:
    """Return the deep network of the member's ``way``."""
    variance, way = MLPS[str(member["way"])]
    return Initialized(SignalNetwork(width, depth, inputs=inputs, weight_variance=variance), inputs, way)


def image_network(s: AutoInitSettings, kind: str, member: Member) -> Initialized:
    """Return the VGG or ResMLP, begun in the member's ``way``."""
    net = network_of(kind, s.side, s.plan, s.patch_width, s.patch_depth)
    return Initialized(net, s.side**2, str(member["way"]))


def experiments(s: AutoInitSettings) -> dict[str, Experiment | Simulation]:
    """Return the study's experiments by name: the descent first, then what it does for training."""
    return {**_descents(s), **_trainings(s)}


def _tuned(
    title: str,
    s: AutoInitSettings,
    width: int,
    depth: int,
    stop: float = CLOSE,
    draw: str = "",
    **axes: tuple[float | str, ...],
) -> Simulation:
    quantities = (
        Quantity("steps", f"steps until every |log J| < {CLOSE}", PAPER),
        Quantity("fine_steps", f"steps until every |log J| < {FINE}", PAPER),
        Quantity("mean_steps", f"steps until the mean |log J| < {CLOSE}", PAPER),
        Quantity("landed", "1", f"{PAPER}, mean |log J| after the first step"),
        Quantity("before", "1", f"{PAPER}, J of each block as drawn", ("block",)),
        Quantity("after", "1", f"{PAPER}, J of each block after tuning, other probes", ("block",)),
        Quantity("path", "1", f"{PAPER}, mean of J over blocks along the steps", ("step",)),
        Quantity("scale", "1", f"{PAPER}, a_W sigma_w of each block", ("block",)),
    )
    # wide networks need fewer samples for an equally sharp J: what counts is units times samples times probes
    samples = max(20_000 // width, 16)
    fixed = {"width": width, "depth": depth, "samples": samples, "probes": 4, "steps": 30, "stop": stop, "draw": draw}
    return Simulation(title, tuned_network, Grid(axes, seeds=s.seeds), quantities, fixed)


def _descents(s: AutoInitSettings) -> dict[str, Experiment | Simulation]:
    ways = Grid({"network": ("VGG", "ResMLP"), "way": WAYS}, seeds=s.seeds)
    sizes = {"side": s.side, "plan": " ".join(map(str, s.plan)), "width": s.patch_width, "depth": s.patch_depth}
    profile = (
        Quantity("jacobian", "1", "He et al. 2022, J of each block", ("block",)),
        Quantity("kernel", "1", "mean square of the last block"),
    )
    shallow, deep = (s, s.wide, s.short), (s, s.width, s.depth)
    return {
        "rates": _tuned(
            "descent on the log loss at several rates", *shallow, FINE, rule=("log",), factor=FACTORS, start=ENDS
        ),
        "single": _tuned("descent at the rate of one step", *shallow, rule=("one step",), start=ENDS),
        "square": _tuned(
            "descent on the square loss", *shallow, rule=("square", "square, own rate"), start=ENDS[-1:]
        ),
        "erf": _tuned(
            "erf and ReLU networks from sigma_w^2 = 4", *shallow, rule=("newton",), start=(4.0,),
            activation=("erf", "relu"),
        ),
        "deep": _tuned(f"{s.depth} layers of width {s.width} tuned", *deep, rule=("newton",), start=STARTS),
        "deep_log": _tuned(f"{s.depth} layers by plain descent", *deep, rule=("log", "square"), start=ENDS[-1:]),
        "deep_he": _tuned(
            f"{s.depth} layers of He's initialization, another draw", *deep, draw="another", rule=("newton",),
            start=(2.0,),
        ),
        "ways": Simulation("Jacobians of each initialization", begun, ways, profile, sizes),
    }  # fmt: skip


def _trainings(s: AutoInitSettings) -> dict[str, Experiment | Simulation]:
    task = pictures(s)
    adam = Recipe(
        optimizer="adam", lr=s.rate, beta2=0.999, steps=s.steps, batch=64, loss="cross_entropy", records=s.records
    )
    momentum = Recipe(
        optimizer="sgd", lr=s.image_rate, momentum=0.9, steps=s.image_steps, batch=64, loss="cross_entropy",
        records=s.records,
    )  # fmt: skip

    def images(kind: str) -> Experiment:
        grid = Grid({"way": WAYS}, seeds=s.trained)
        return Experiment(f"{kind} on {task.name}", partial(image_network, s, kind), task, grid, momentum, LEARNING)

    return {
        "mlp": Experiment(
            f"{s.depth} layers of width {s.width} on {task.name}",
            partial(mlp, s.width, s.depth, task.inputs.shape[1]), task, Grid({"way": tuple(MLPS)}, seeds=s.trained),
            adam, LEARNING,
        ),
        "vgg": images("VGG"),
        "vgg_norm": images("VGG, batch norm"),
        "resmlp": images("ResMLP"),
    }  # fmt: skip
