"""``ps.class_dimension``: of how many dimensions must a random plane be, to meet the region of a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.checks import as_labels, as_points, flag, number, plain, sequence, shown, whole
from phasescope.ensemble import streams
from phasescope.instruments.calls import usable
from phasescope.instruments.given_back import BATCH_NORMS, module_of, untouched
from phasescope.representation.class_curves import Curve, Found, Resampled
from phasescope.representation.class_planes import Climb, Planes, Target, logits
from phasescope.representation.class_result import ClassDimension, gathered
from phasescope.vocabulary import BadInput, Generators

__all__ = ["class_dimension"]

Progress = Callable[[str, int, int], object]
Network = nn.Module | Sequence[nn.Module]
LARGEST_FRAME = 1 << 28
"""Numbers in one frame of d_max D: a gigabyte."""
WIDEST, MOST_FRAMES, PROBES = 4096, 100_000, 1000
"""The largest plane that is looked at unless asked, planes of one dimension, and inputs on which logits are read."""


def class_dimension(
    module: Network,
    inputs: Any,
    labels: Any,
    *,
    dims: Sequence[int] | None = None,
    targets: Sequence[int | Sequence[int]] | None = None,
    level: float = 0.5,
    repeats: int = 8,
    steps: int = 150,
    rate: float = 0.2,
    null: Network | Literal["shuffled"] | None = "shuffled",
    as_loud: bool = True,
    seed: int = 0,
    name: str | None = None,
    on_progress: Progress | None = None,
) -> ClassDimension:
    """Return the dimension d* from which random planes meet the region where ``module`` is sure of a class.

    ``module`` takes ``inputs`` (N, ...), floats, to logits (N, K); several modules are one ensemble. Planes go through
    inputs that ``labels`` (N,) say to be of another class, along unit Gaussian vectors. Within each, ``steps`` of Adam
    from the input climb the log-probability of the class, until the probability is 0.99; the best one counts. ``rate``
    is in units of the inputs' standard deviation. d* is where the mean over ``repeats`` planes passes ``level``, on the
    isotonic curve over ``dims`` (two per octave from 1 to D, at most 4,096, if None). ``targets`` are classes, all by
    default; a tuple of k classes is their boundary, where what is read is k times the geometric mean of their
    probabilities, 1 where each has 1 / k.

    Of each target and of all together: d* with a standard error over planes, D - d* (the *effective dimension* of the
    region), the crossing of the authors' logistic curve in ln d as a second route, and the way to the best point in
    units of the distance between two inputs. ``null`` is read in the same planes: the module with each weight tensor's
    entries ``"shuffled"``, or a network of yours, an untrained one above all. Larger logits alone make a network surer
    everywhere, and d* smaller: so those of the null are scaled to the spread over classes that the module's have on the
    inputs, unless ``as_loud`` is False. A d* that is not reached is NaN.

    d* is dimensionless, from 0 to D, and invariant to rotations, shifts and scale of the inputs that the module undoes.
    It is what ``steps`` of this climb find: more steps can only lower it. No point is kept inside the range of the
    inputs. The modules are given back bit for bit. Costs steps x targets x repeats x dims forward and backward passes,
    twice with a null. Source: Fort et al. 2022, arXiv:2210.05546, and the authors' notebook.

    Raises ``BadInput`` for integer inputs, batch normalization in training mode, outputs that are probabilities,
    classes without inputs, planes wider than D.
    """
    level = number(0, 1, open_low=True, open_high=True)("level", level)
    repeats, steps = whole(2, 10_000)("repeats", repeats), whole(1, 10**6)("steps", steps)
    rate, seed = number(0, 1e6, open_low=True)("rate", rate), whole(0, 2**63 - 1)("seed", seed)
    as_loud = flag("as_loud", as_loud)
    tell = on_progress or (lambda what, done, total: None)
    networks = _networks("module", module)
    points = _inputs(inputs, networks[0])
    classes = _classes(networks, points)
    known = as_labels("labels", labels, count=len(points), classes=classes).cpu()
    size = int(points[0].numel())
    planes = Planes(
        points, known, _targets(targets, known, classes), _dims(dims, size), repeats, steps, rate, _scale(points),
        classes, seed,
    )  # fmt: skip
    if len(planes.targets) * repeats > MOST_FRAMES:
        raise BadInput(f"there are {len(planes.targets):,} targets with {repeats:,} planes each: give fewer.")
    rivals = _rivals(null, networks, points, classes)
    with _held(networks):
        loud = _spread(networks, points)
        found = planes.climbed(networks, tell=lambda done, total: tell("module", done, total))
    other, gain = None, 1.0
    if rivals is not None:
        with _held(rivals, streams(seed) if isinstance(null, str) else None):
            gain = _gain(loud, _spread(rivals, points)) if as_loud else 1.0
            other = planes.climbed(rivals, gain, lambda done, total: tell("null", done, total))
    return gathered(planes, _read(planes, found, other, level), level, gain, name or type(networks[0]).__name__)


def _networks(what: str, given: Any) -> list[nn.Module]:
    parts = list(given) if isinstance(given, list | tuple) else [given]
    if not parts:
        raise BadInput(f"{what} is an empty list: give a torch.nn.Module, or several as an ensemble.")
    for part in map(module_of, parts):
        for where, inside in part.named_modules():
            if isinstance(inside, BATCH_NORMS) and inside.training:
                raise BadInput(
                    f"the batch normalization {where or type(inside).__name__!r} of {what} is in training mode, where "
                    "each answer depends on the other planes: call module.eval() first."
                )
    return parts


def _inputs(given: Any, network: nn.Module) -> Tensor:
    given = usable(given)
    kind = getattr(given, "dtype", None) or np.asarray(given if isinstance(given, list | tuple) else 0.0).dtype
    whole_numbers = not kind.is_floating_point if isinstance(kind, torch.dtype) else np.dtype(kind).kind in "biu"
    if whole_numbers:
        raise BadInput(
            "inputs are whole numbers, along which nothing can be climbed: give floats, such as pixels / 255, or the "
            "embeddings of tokens to the model behind them."
        )
    found = as_points("inputs", given, axes=(), least=2, fewest=1)
    if len(found) < 2:
        raise BadInput("there is one input: give at least two, of different classes.")
    own = next((p for p in network.parameters() if p.is_floating_point()), None)
    return found.detach() if own is None else found.detach().to(own.device, own.dtype)


def _classes(networks: Sequence[nn.Module], points: Tensor) -> int:
    """Return how many classes there are, and refuse what are no logits."""
    counts = []
    for network in networks:
        with untouched(network), torch.no_grad():
            found = logits(network, points[:64])
        counts.append(found.shape[1])
        if bool((found >= 0).all()) and bool(((found.sum(1) - 1).abs() < 1e-3).all()):
            raise BadInput(
                "the model's outputs are probabilities (not negative, with sum 1): give the model before its softmax."
            )
    if len(set(counts)) > 1:
        raise BadInput(f"the networks have {' and '.join(map(str, sorted(set(counts))))} classes: give equally many.")
    return counts[0]


def _targets(given: Any, labels: Tensor, classes: int) -> list[Target]:
    if given is None:
        found: list[Target] = [(c,) for c in sorted(set(labels.tolist()))]
    else:
        if not isinstance(given, list | tuple | range | np.ndarray) or len(given) == 0:
            raise BadInput(f"targets is {shown(given)}: give a list of classes, or of tuples of classes.")
        found = []
        for one in given:
            parts = sequence("a target", one, classes) if isinstance(one, list | tuple) else [plain(one)]
            read = tuple(whole(0, classes - 1)("a class of targets", part) for part in parts)
            if len(set(read)) < len(read):
                raise BadInput(f"the target {shown(one)} names a class twice: name each once.")
            found.append(read)
        if len(set(found)) < len(found):
            raise BadInput(f"targets is {shown(given)}: name each target once.")
    there = set(labels.tolist())
    for target in found:
        absent = [c for c in target if c not in there]
        if absent:
            raise BadInput(f"no input has the label {absent[0]}: give inputs of each class that is a target.")
        if there <= set(target):
            raise BadInput(f"all inputs are of the target {shown(target)}: planes begin at inputs of other classes.")
    return found


def _dims(given: Any, size: int) -> list[int]:
    if given is None:
        top = min(size, WIDEST, max(LARGEST_FRAME // size, 1))
        octaves = np.arange(0, 2 * np.log2(top) + 1e-9) / 2
        return sorted({*np.round(2**octaves).astype(int).tolist(), top})
    found = [whole(1, size)("a dimension of dims", d) for d in sequence("dims", given, 10_000)]
    if sorted(set(found)) != found:
        raise BadInput(f"dims is {shown(given)}: give dimensions in rising order, each once.")
    if found[-1] * size > LARGEST_FRAME:
        raise BadInput(
            f"planes of {found[-1]:,} dimensions in {size:,} take more than a gigabyte each: give dims up to "
            f"{LARGEST_FRAME // size:,}."
        )
    return found


def _scale(points: Tensor) -> float:
    scale = float(points.double().var(0, correction=0).mean().sqrt())
    if not scale > 0:
        raise BadInput("all inputs are the same: give inputs that differ.")
    return scale


def _rivals(null: Any, networks: list[nn.Module], points: Tensor, classes: int) -> list[nn.Module] | None:
    if null is None:
        return None
    if isinstance(null, str):
        if null != "shuffled":
            raise BadInput(f"null is {shown(null)}: give 'shuffled', an untrained network, or None.")
        return networks
    found = _networks("null", null)
    if _classes(found, points) != classes:
        raise BadInput(f"the null has {_classes(found, points)} classes and the module {classes}: give equally many.")
    return found


@contextmanager
def _held(networks: Sequence[nn.Module], shuffling: Generators | None = None) -> Iterator[None]:
    """Give the networks back untouched at the end; inside, with the entries of each weight tensor in another order."""
    with ExitStack() as stack:
        for i, network in enumerate(networks):
            stack.enter_context(untouched(network))
            if shuffling is not None:
                generator = shuffling("shuffled weights", i)
                with torch.no_grad():
                    for weight in network.parameters():
                        order = torch.from_numpy(generator.permutation(weight.numel())).to(weight.device)
                        weight.copy_(weight.flatten()[order].view_as(weight))
        yield


def _spread(networks: Sequence[nn.Module], points: Tensor) -> float:
    """Return the standard deviation of the logits over classes, mean over at most 1,000 evenly spaced inputs."""
    some = points[torch.arange(min(len(points), PROBES)) * len(points) // min(len(points), PROBES)]
    with torch.no_grad():
        logs = [
            logits(network, part).log_softmax(1).double() for network in networks for part in torch.split(some, 100)
        ]
    return float(torch.stack([part.std(1).mean() * len(part) for part in logs]).sum()) / len(some) / len(networks)


def _gain(loud: float, quiet: float) -> float:
    if not (loud > 0 and quiet > 0):
        raise BadInput(
            "a network gives the same logit to all classes, and no factor makes it as loud: set as_loud=False."
        )
    return loud / quiet


def _read(planes: Planes, found: Climb, other: Climb | None, level: float) -> Found:
    draws = Resampled(planes.repeats, len(planes.targets), streams(planes.seed)("resampled planes"))
    curve = Curve(planes.dims, level)
    return Found(found, other, curve.read(found.probability, draws),
                 None if other is None else curve.read(other.probability, draws, null=True), curve)  # fmt: skip
