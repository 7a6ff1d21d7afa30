"""Random planes through inputs, and the climb within each towards a class: planes of all dimensions at once.

One frame of unit Gaussian vectors serves all dimensions: its first d rows span the plane of dimension d. So the planes
of one frame are nested, what is read of them differs by the dimension alone, and one product per step moves all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.ensemble import streams
from phasescope.instruments.calls import call, refusing, tensor_of
from phasescope.vocabulary import Array, BadInput

FRAMES, NUMBERS = 1 << 26, 1 << 21
"""Numbers in the frames that are climbed at once, and in the inputs that a network is given at a time."""
BETAS, EPSILON, ENOUGH = (0.9, 0.999), 1e-7, 0.99
"""Of Adam, and the probability at which a climb ends, as in the authors' notebook."""
Target = tuple[int, ...]
Tell = Callable[[int, int], object]


@dataclass(frozen=True)
class Climb:
    """What was reached: best ``probability`` and the way there, ``moved``; (target, d, repeat), d = 0 is the start."""

    probability: Array
    moved: Array


@dataclass(frozen=True)
class Planes:
    """Which planes: through ``inputs`` (N, ...) with ``labels`` (N,), of ``dims``, ``repeats`` for each of ``targets``.

    ``classes`` K are the network's. ``scale`` is the root mean square, over coordinates, of the inputs' standard
    deviation: the unit of steps.
    """

    inputs: Tensor
    labels: Tensor
    targets: Sequence[Target]
    dims: Sequence[int]
    repeats: int
    steps: int
    rate: float
    scale: float
    classes: int
    seed: int

    @property
    def size(self) -> int:
        """The number of coordinates D of an input."""
        return int(self.inputs[0].numel())

    def drawn(self, target: Target, repeat: int) -> tuple[int, Array]:
        """Return the row of the start, an input of none of the target's classes, and the frame (d_max, D)."""
        generator = streams(self.seed)(f"planes of {' '.join(map(str, target))}", repeat)
        others = torch.nonzero(~torch.isin(self.labels, torch.tensor(target))).flatten()
        start = int(others[int(generator.integers(len(others)))])
        frame = generator.standard_normal((self.dims[-1], self.size), dtype=np.float32)
        return start, frame / np.linalg.norm(frame, axis=1, keepdims=True)

    def climbed(self, networks: Sequence[nn.Module], gain: float = 1.0, tell: Tell = lambda done, total: None) -> Climb:
        """Return the highest probability that Adam finds in each plane; logits are taken ``gain`` times."""
        jobs = [(t, r) for t in range(len(self.targets)) for r in range(self.repeats)]
        together = max(1, FRAMES // (self.dims[-1] * self.size))
        best, moved = np.zeros((2, len(jobs), len(self.dims) + 1))
        for first in range(0, len(jobs), together):
            part = jobs[first : first + together]
            done = partial(_told, tell, first, len(part), len(jobs), self.steps + 1)
            ends = slice(first, first + len(part))
            best[ends], moved[ends] = self._part(networks, gain, part, done)
            done(self.steps + 1)
        shape = (len(self.targets), self.repeats, len(self.dims) + 1)
        return Climb(*(values.reshape(shape).transpose(0, 2, 1) for values in (best, moved)))

    def _part(
        self, networks: Sequence[nn.Module], gain: float, jobs: Sequence[tuple[int, int]], tell: Callable[[int], object]
    ) -> tuple[Array, Array]:
        drawn = [self.drawn(self.targets[t], r) for t, r in jobs]
        device, dims = self.inputs.device, torch.tensor([0, *self.dims], device=self.inputs.device)
        starts = self.inputs[[row for row, _ in drawn]].flatten(1)[:, None].float()
        frames = torch.from_numpy(np.stack([frame for _, frame in drawn])).to(device)
        wanted = torch.zeros(len(jobs), len(dims), self.classes, device=device)
        for row, (t, _) in enumerate(jobs):
            wanted[row][:, list(self.targets[t])] = 1 / len(self.targets[t])
        open_rows = (torch.arange(frames.shape[1], device=device) < dims[:, None]).float()
        theta = torch.zeros(len(jobs), len(dims), frames.shape[1], device=device)
        mass, square = torch.zeros_like(theta), torch.zeros_like(theta)
        best = torch.zeros(len(jobs), len(dims), device=device)
        moved = torch.zeros_like(best)
        for step in range(1, self.steps + 2):
            left = best < ENOUGH
            cols = torch.nonzero(left.any(0)).flatten()
            if not len(cols):
                break
            rows, top = left[:, cols], int(dims[cols[-1]])
            away = theta[:, cols, :top] @ frames[:, :top]
            reached, slopes = self._looked(networks, gain, (starts + away)[rows], wanted[:, cols][rows])
            better = torch.zeros_like(left)
            better[:, cols] = rows.masked_scatter(rows, reached > best[:, cols][rows])
            best[better] = reached[better[:, cols][rows]]
            moved[better] = away[better[:, cols]].norm(dim=1)
            tell(step)
            if step > self.steps:
                break
            slope = torch.zeros_like(theta)
            slope[:, cols, :top] = torch.zeros_like(away).masked_scatter(rows[..., None], slopes) @ frames[:, :top].mT
            slope *= open_rows
            mass = BETAS[0] * mass + (1 - BETAS[0]) * slope
            square = BETAS[1] * square + (1 - BETAS[1]) * slope**2
            size = (square / (1 - BETAS[1] ** step)).sqrt() + EPSILON
            theta = theta - self.rate * self.scale * mass / (1 - BETAS[0] ** step) / size
        unit = self.scale * (2 * self.size) ** 0.5
        return best.cpu().numpy(), (moved / unit).cpu().numpy()

    def _looked(
        self, networks: Sequence[nn.Module], gain: float, points: Tensor, wanted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return probability (B,) of the targets at ``points`` (B, D), and the slope (B, D) of the loss there.

        ``wanted`` (B, K) is uniform over each target's classes. The loss is the cross-entropy to it, of
        log-probabilities that are means over networks. The probability is that of their mean probabilities: k times
        the geometric mean over the k classes of a target.
        """
        reached, slopes = [], []
        together = max(1, NUMBERS // points.shape[1])
        for first in range(0, len(points), together):
            x = points[first : first + together].detach().requires_grad_()
            given = x.view(-1, *self.inputs.shape[1:]).to(self.inputs.dtype)
            logs = torch.stack([(gain * logits(network, given)).log_softmax(1) for network in networks])
            law = wanted[first : first + together].to(logs.dtype)
            loss = -(law * logs.mean(0)).sum()
            slopes.append(_slope(loss, x))
            joint = (logs.detach().logsumexp(0) - np.log(len(networks))).clamp(min=-80)
            reached.append(((law * joint).sum(1) + (law > 0).sum(1).log()).exp().float())
        return torch.cat(reached), torch.cat(slopes)


def _told(tell: Tell, first: int, part: int, jobs: int, steps: int, step: int) -> None:
    tell(first * steps + part * step, jobs * steps)


def logits(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the logits (B, K), float32 or float64, of ``inputs`` (B, ...). Raises ``BadInput`` for anything else."""
    with refusing(network):
        found = tensor_of(call(network, inputs))
    if found is None or found.dim() != 2 or len(found) != len(inputs) or found.shape[1] < 2:
        shape = "nothing that is a floating tensor" if found is None else f"shape {tuple(found.shape)}"
        raise BadInput(
            f"the model returns {shape} for {len(inputs)} inputs: give one with logits (N, K) of K >= 2 classes."
        )
    found = found if found.dtype in (torch.float32, torch.float64) else found.float()
    if not bool(torch.isfinite(found).all()):
        raise BadInput("the model's logits are not finite: look for overflow or bad weights, with ps.inspect.")
    return found


def _slope(loss: Tensor, x: Tensor) -> Tensor:
    if not loss.requires_grad:
        raise BadInput("the model's logits have no gradient to its inputs: give one that can be differentiated.")
    found = torch.autograd.grad(loss, x, allow_unused=True)[0]
    return torch.zeros_like(x) if found is None else found.float()
