"""Where questions look: attention on examples that share a number with the question, and by how far back they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from phasescope.learners import Decoder
from phasescope.learners.attention import Block, attend, rotations, seen_with, turned
from phasescope.studies.in_context_modular.readings import inputs_of
from phasescope.tasks import InContextLinear
from phasescope.vocabulary import Instrument, Reading, Subject

RELATED = ("itself", "same x", "same y", "multiple", "none of these")
OF = ("attention", "uniform")


class Looking(nn.Module):
    """A decoder that answers with the attention of its questions: (N, T) or (N, T, D) -> (blocks, N, heads, K, T)."""

    def __init__(self, net: Decoder, asking: slice) -> None:
        super().__init__()
        self.net, self.asking = net, asking

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the attention of the tokens that ask; the blocks are those of ``Decoder.forward``."""
        net, h = self.net, self.net.embedded(inputs)
        length = h.shape[1]
        bias = seen_with(net.mask, net.positions, net.heads, length, h)
        turn = rotations(length, net.width // net.heads, h) if net.positions == "rope" else None
        found = []
        for block in net.blocks:
            assert isinstance(block, Block)
            query, key, value = block.split(h)
            if turn is not None:
                query, key = turned(query, turn), turned(key, turn)
            scores = torch.einsum("nqhd,nthd->nhqt", query, key) * query.shape[-1] ** -0.5
            found.append(torch.softmax(scores if bias is None else scores + bias, -1)[:, :, self.asking])
            h = block.joined(h, attend(query, key, value, bias))
        return torch.stack(found)


def by_example(task: InContextLinear, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the attention (..., K, K) of each question on each example before it, and what is uniform (K, K).

    ``weights`` (..., K, T); uniform is one over the number of tokens that a question sees, for each of an example's.
    """
    shots, width = task.shots, 1 if task.tokens == "bound" else 3
    place = torch.arange(weights.shape[-1])
    example = place // 2 if task.tokens == "bound" else place // 3
    is_example = place % 2 == 1 if task.tokens == "bound" else torch.ones_like(place, dtype=torch.bool)
    member = (example == torch.arange(shots)[:, None]) & is_example
    k = torch.arange(shots)
    before = k[:, None] > k
    seen = k + 1 if task.tokens == "bound" else 3 * k + 2
    return (weights.double() @ member.double().T) * before, before * width / seen[:, None].double()


def relations(task: InContextLinear, tokens: Tensor) -> Tensor:
    """Return (4, N, K, K): whether example j has the question's x, its y, lies on a line through 0 with it, or none."""
    x, y, _ = inputs_of(task, tokens)
    other, mine = (x[:, None], y[:, None]), (x[:, :, None], y[:, :, None])
    same = [mine[0] == other[0], mine[1] == other[1]]
    parallel = (mine[0] * other[1] - mine[1] * other[0]) % task.p == 0
    same.append(parallel & ((other[0] != 0) | (other[1] != 0)))
    return torch.stack([*same, ~(same[0] | same[1] | same[2])])


def patterns(task: InContextLinear, make: Callable[[], Decoder]) -> tuple[Instrument, Instrument]:
    """Return ``attention`` (B, blocks, heads, 5, 2) and ``offsets`` (B, blocks, K - 1, 2) of the last questions of new
    tasks: fractions of the attention on related examples, and on the example so many shots before, beside uniform.

    ``make`` makes the decoder, whose weights are the networks' own.
    """
    with torch.device("meta"):
        shape = make()
    blocks, heads = shape.layers, shape.heads
    asking = slice(0, None, 2) if task.tokens == "bound" else slice(1, None, 3)
    last = slice(task.shots - task.asked, None)

    def looked(s: Subject) -> tuple[Tensor, Tensor, Tensor]:
        with torch.device("meta"):  # it draws no random numbers, and none of its weights is used
            module = Looking(make(), asking)
        rows = slice(task.readout, 2 * task.readout)
        found, related = [], []
        for i, tokens in enumerate(s.inputs):
            own = {f"net.{name}": value[i] for name, value in s.parameters.items()}
            weights = functional_call(module, own, (tokens[rows],))
            shares, uniform = by_example(task, weights)
            found.append(shares)
            related.append(relations(task, tokens[rows]))
        return torch.stack(found), uniform, torch.stack(related)

    def attention(s: Subject) -> Tensor:
        shares, uniform, related = looked(s)  # (B, blocks, N, heads, K, K), (K, K), (B, 4, N, K, K)
        of_heads = shares[..., last, :].movedim(3, 2)  # (B, blocks, heads, N, asked, K)
        there = related[..., last, :].double()
        share = torch.einsum("blhnqk,brnqk->blhr", of_heads, there)
        even = torch.einsum("qk,brnqk->br", uniform[last], there)
        count = task.readout * task.asked
        own = 1 - of_heads.sum(-1).mean((-1, -2))
        rest = (1 - uniform[last].sum(-1).mean()).expand(len(shares), blocks, heads)
        even = (even / count)[:, None, None].expand(-1, blocks, heads, -1)
        both = [torch.cat([own[..., None], share / count], -1), torch.cat([rest[..., None], even], -1)]
        return torch.stack(both, -1)

    def offsets(s: Subject) -> Tensor:
        shares, uniform, _ = looked(s)
        mean = shares[..., last, :].mean((2, 3))  # (B, blocks, asked, K)
        even = uniform[last].expand_as(mean)
        back = range(task.shots - task.asked, task.shots)
        found = []
        for offset in range(1, task.shots):
            places = [(q, k - offset) for q, k in enumerate(back) if k >= offset]
            found.append(
                torch.stack([torch.stack([m[..., q, j] for q, j in places]).mean(0) for m in (mean, even)], -1)
            )
        return torch.stack(found, 2)

    where = f"the last {task.asked} questions of new tasks"
    return (
        Instrument(
            "attention", lambda s: Reading(attention(s)), "1",
            f"fraction of the attention of {where} on themselves and on related examples",
            "forward", (0.0, 1.0), "uniform", ("block", "head", "related", "look"), (),
            {"block": range(1, blocks + 1), "head": range(1, heads + 1), "related": RELATED, "look": OF},
        ),
        Instrument(
            "offsets", lambda s: Reading(offsets(s)), "1",
            f"mean attention of {where} on the example so many shots before, mean over heads",
            "forward", (0.0, 1.0), "uniform", ("block", "offset", "look"), (),
            {"block": range(1, blocks + 1), "offset": range(1, task.shots), "look": OF},
        ),
    )  # fmt: skip
