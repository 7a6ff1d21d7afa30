"""The decoder: against torch's own layer, formulas of the papers, and what a mask promises; and the shared block."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from phasescope.ensemble.streams import initialized, streams
from phasescope.learners import ContextEnergy, Decoder, OneLayerTransformer, SignalTransformer
from phasescope.learners.attention import Block, attend, rotations, seen_with, sinusoids, slopes, turned, visible
from phasescope.vocabulary import BadInput

POSITIONS = ("none", "learned", "sinusoidal", "rope", "alibi")
MASKS = ("causal", "none", "examples")


def points(*shape: int, name: str = "points") -> Tensor:
    return torch.from_numpy(streams(0)(name).standard_normal(shape))


def tokens(p: int, *shape: int) -> Tensor:
    return torch.from_numpy(streams(0)("tokens").integers(0, p, shape).astype(np.int32))


def decoder(inputs: int = 5, outputs: int | None = None, **changes: Any) -> Decoder:
    """Return a small network in float64 whose weights and biases are all far from zero, so that each part matters."""
    sizes = {"width": 8, "heads": 2, "layers": 2, "length": 9 if changes.get("positions") == "learned" else None}
    net = Decoder(inputs, outputs, **{**sizes, **changes}).double()
    generator = streams(0)("weights")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(0.5 * generator.standard_normal(tuple(parameter.shape))))
    return net


# -- the block against torch's own ----------------------------------------------------------------------------------------


def torchs_own(block: Block, width: int, heads: int, activation: Any) -> nn.TransformerEncoderLayer:
    own = nn.TransformerEncoderLayer(
        width, heads, block.hidden, 0.0, activation, batch_first=True, norm_first=block.norm == "pre"
    ).double()
    own.load_state_dict({
        "self_attn.in_proj_weight": block.to_qkv.weight, "self_attn.in_proj_bias": block.to_qkv.bias,
        "self_attn.out_proj.weight": block.back.weight, "self_attn.out_proj.bias": block.back.bias,
        "linear1.weight": block.up.weight, "linear1.bias": block.up.bias,
        "linear2.weight": block.down.weight, "linear2.bias": block.down.bias,
        **{f"norm{i + 1}.{part}": getattr(block.norms[i], part) for i in range(2) for part in ("weight", "bias")},
    })  # fmt: skip
    return own


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_block_is_torchs_encoder_layer(norm: str, activation: str) -> None:
    """In training, where torch takes no short cut of its own; with and without the causal mask."""
    net = decoder(norm=norm, activation=activation, hidden=12)
    block, x = net.blocks[0], points(3, 6, 8)
    own = torchs_own(block, 8, 2, activation)
    for mask in ("none", "causal"):
        hidden = None if mask == "none" else ~visible(mask, 6)
        torch.testing.assert_close(block(x, seen_with(mask, "none", 2, 6, x)), own(x, hidden), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_whole_is_embedding_blocks_and_readout(norm: str) -> None:
    """Put together by hand of torch's layers: learned places, a last LayerNorm for pre-norm alone, no bias at the end."""
    net = decoder(7, 3, positions="learned", read="all", norm=norm)
    x = tokens(7, 4, 6).long()
    h = net.embed.weight[x] + net.position[:6]
    for block in net.blocks:
        h = torchs_own(block, 8, 2, "gelu")(h, ~visible("causal", 6))
    if norm == "pre":
        h = nn.functional.layer_norm(h, (8,), net.final.weight, net.final.bias)
    torch.testing.assert_close(net(x), h @ net.readout.weight.T, rtol=0, atol=1e-12)


def test_rms_norm_divides_by_the_root_of_the_mean_square() -> None:
    net, x = decoder(normalizer="rms"), points(3, 8)
    wanted = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * net.final.weight
    torch.testing.assert_close(net.final(x), wanted, rtol=0, atol=1e-12)


def test_without_hidden_units_there_is_attention_alone() -> None:
    net, x = decoder(hidden=0, norm="none", layers=1, mask="none", read="all"), points(2, 4, 8)
    q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in net.blocks[0].to_qkv(x).chunk(3, -1))
    mixed = (q @ k.mT / 2).softmax(-1) @ v
    wanted = x + net.blocks[0].back(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(net.blocks[0](x), wanted, rtol=0, atol=1e-12)
    assert not any("up" in name or "norms" in name for name, _ in net.named_parameters())


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("positions", POSITIONS)
def test_what_is_read_is_a_part_of_all(positions: str, mask: str) -> None:
    """The last block works only where it is read: the same numbers as all of them, chosen afterwards."""
    nets = {read: decoder(positions=positions, mask=mask, read=read) for read in ("all", "last", "questions")}
    x = tokens(5, 3, 7)
    every = nets["all"](x)
    assert every.shape == (3, 7, 5)
    torch.testing.assert_close(nets["last"](x), every[:, -1], rtol=0, atol=1e-12)
    torch.testing.assert_close(nets["questions"](x), every[:, ::2], rtol=0, atol=1e-12)


# -- places ---------------------------------------------------------------------------------------------------------------


def law_rotary(turn_by: Any) -> None:
    """Scores of turned queries and keys are Re sum_i q_i conj(k_i) exp(i (m - n) 10000^(-2 i / d)): differences alone."""
    d, places = 6, 12
    q, k = points(1, 1, d), points(1, 1, d, name="keys")
    turn = rotations(places, d, q)
    asked, seen = (turn_by(x.expand(places, 1, d), turn)[:, 0] for x in (q, k))
    scores = (asked @ seen.T).numpy()
    pairs = [(x[0, 0, 0::2] + 1j * x[0, 0, 1::2]).numpy() for x in (q, k)]
    rates = [10000.0 ** (-2 * i / d) for i in range(d // 2)]
    for m in range(places):
        for n in range(places):
            wanted = sum(
                (pairs[0][i] * pairs[1][i].conj() * np.exp(1j * (m - n) * r)).real for i, r in enumerate(rates)
            )
            assert abs(scores[m, n] - wanted) < 1e-12


def test_rotary_scores_depend_on_differences() -> None:
    law_rotary(turned)
    with pytest.raises(AssertionError):  # a saboteur: halves instead of pairs
        law_rotary(lambda x, turn: turned(x[..., [0, 3, 1, 4, 2, 5]], turn))


def test_a_block_turns_queries_and_keys_alone() -> None:
    """Attention from the formula, pair by pair; values are not turned."""
    block, x = decoder(hidden=0, norm="none").blocks[0], points(1, 5, 8)
    q, k, v = (part[0].unflatten(-1, (2, 4)).detach().numpy() for part in block.to_qkv(x).chunk(3, -1))
    mixed = np.zeros((5, 2, 4))
    for head in range(2):
        a, b = (part[:, head, 0::2] + 1j * part[:, head, 1::2] for part in (q, k))
        for m in range(5):
            turn = np.exp(1j * np.subtract.outer(m - np.arange(5), np.zeros(2)) * [1, 10000**-0.5])
            scores = (a[m] * b.conj() * turn).real.sum(-1) / 2
            mixed[m, head] = np.exp(scores) @ v[:, head] / np.exp(scores).sum()
    wanted = x + block.back(torch.from_numpy(mixed).flatten(-2))
    torch.testing.assert_close(block(x, None, rotations(5, 4, x)), wanted, rtol=0, atol=1e-12)


def test_a_decoder_with_rotary_places_does_not_know_where_they_begin(monkeypatch: Any) -> None:
    net, x = decoder(positions="rope", read="all"), tokens(5, 2, 6)
    wanted = net(x)
    monkeypatch.setattr("phasescope.learners.decoder.rotations", lambda T, d, like: rotations(T + 30, d, like)[30:])
    torch.testing.assert_close(net(x), wanted, rtol=0, atol=1e-12)


def test_slopes_are_the_papers() -> None:
    """Press et al. 2021, Sec. 3: for 8 heads 1/2, 1/4, ..., 1/256; for 16 the square root of 1/2 as start and ratio."""
    like = torch.zeros((), dtype=torch.float64)
    assert slopes(8, like).tolist() == [2.0**-k for k in range(1, 9)]
    assert np.allclose(slopes(16, like), 0.5 ** (np.arange(1, 17) / 2), rtol=1e-15)
    bias = seen_with("causal", "alibi", 2, 4, like)
    both = seen_with("none", "alibi", 2, 4, like)
    assert bias is not None and both is not None and bias.shape == (2, 4, 4)
    for head, slope in enumerate((2**-4, 2**-8)):
        for i in range(4):
            for j in range(4):
                assert bias[head, i, j] == (-slope * (i - j) if j <= i else -math.inf)
                assert both[head, i, j] == -slope * abs(i - j)


def test_sinusoids_are_the_formula() -> None:
    """Vaswani et al. 2017, Sec. 3.5: PE(t, 2i) = sin(t / 10000^(2i/d)), PE(t, 2i + 1) = cos of it."""
    found = sinusoids(50, 8, torch.zeros((), dtype=torch.float64))
    for t in (0, 1, 7, 49):
        for i in range(4):
            angle = t / 10000 ** (2 * i / 8)
            assert found[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-14)
            assert found[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-14)
    net, x = decoder(positions="sinusoidal"), tokens(5, 2, 9)
    torch.testing.assert_close(net.embedded(x), net.embed.weight[x.long()] + found[:9], rtol=0, atol=1e-14)


def test_without_places_and_masks_tokens_are_a_set() -> None:
    net, x, order = decoder(positions="none", mask="none", read="all"), tokens(5, 3, 6), [4, 0, 5, 2, 1, 3]
    torch.testing.assert_close(net(x[:, order]), net(x)[:, order], rtol=0, atol=1e-12)
    for positions in POSITIONS[1:]:
        other = decoder(positions=positions, mask="none", read="all")
        assert float((other(x[:, order]) - other(x)[:, order]).detach().abs().max()) > 1e-3


# -- masks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", POSITIONS)
def test_what_comes_later_is_not_seen(positions: str) -> None:
    """Exactly: the same bits up to the token that changes, and others from there on."""
    net, x = decoder(positions=positions, read="all"), tokens(5, 2, 7)
    later = x.clone()
    later[:, 4] = (later[:, 4] + 1) % 5
    before, after = net(x).detach(), net(later).detach()
    assert torch.equal(before[:, :4], after[:, :4])
    assert ((before[:, 4:] - after[:, 4:]).abs().amax(-1) > 1e-6).all()


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("layers", [1, 3])
def test_questions_see_the_examples_before_them(positions: str, layers: int) -> None:
    """Question i sees itself and the examples before it, example i the ones before it and itself: nothing else."""
    net = decoder(3, 2, vectors=True, positions=positions, mask="examples", read="all", layers=layers)
    x = points(1, 7, 3)
    slope = torch.autograd.functional.jacobian(lambda x: net(x).square().sum((0, 2)), x)[:, 0].abs().amax(-1)
    for i in range(7):
        for j in range(7):
            example, earlier = j % 2 == 1, j // 2 < i // 2 or (j // 2 == i // 2 and i % 2 == 1)
            assert (float(slope[i, j]) > 1e-9) == ((example and earlier) or i == j), (i, j)
            assert float(slope[i, j]) > 1e-9 or float(slope[i, j]) == 0


def test_the_mask_of_examples_is_an_energy_in_context() -> None:
    """ContextEnergy keeps context and candidates apart: interleaved, the same weights make the same numbers."""
    energy = initialized(ContextEnergy(3, width=8, layers=2, heads=2), 0).double()
    net = decoder(3, 1, vectors=True, positions="none", mask="examples", read="questions")
    state = energy.state_dict()
    net.load_state_dict({name.replace("norm.", "final.", 1) if name.startswith("norm.") else name: value
                         for name, value in state.items() if name != "readout.bias"})  # fmt: skip
    context, candidates = points(4, 5, 3), points(4, 5, 3, name="candidates")
    found = net(torch.stack([candidates, context], 2).flatten(1, 2))[..., 0] + state["readout.bias"]
    torch.testing.assert_close(found, energy(context, candidates), rtol=0, atol=1e-12)


# -- one block for all ----------------------------------------------------------------------------------------------------


def test_a_one_layer_transformer_is_a_decoder() -> None:
    old = initialized(OneLayerTransformer(7, 8, heads=2, arity=3), 0).double()
    net = decoder(7, positions="learned", length=3, layers=1, norm="none", bias=False, mask="none", activation="relu")
    w = old.state_dict()
    net.load_state_dict({
        "embed.weight": w["embed"][0], "position": w["position"], "readout.weight": w["output"] / math.sqrt(8),
        "blocks.0.to_qkv.weight": torch.cat([w["query"], w["key"], w["value"]]), "blocks.0.back.weight": w["mix"],
        "blocks.0.up.weight": w["widen"], "blocks.0.down.weight": w["narrow"],
    })  # fmt: skip
    x = tokens(7, 20, 3)
    torch.testing.assert_close(net(x), old(x), rtol=0, atol=1e-12)


CASES: dict[str, tuple[Any, Any, tuple[float, float]]] = {
    # mean square of the answers, and the square of its gradient: printed by the code of before attention was shared
    "tokens": (lambda: OneLayerTransformer(7, 16, arity=3), lambda: (torch.from_numpy(streams(0)("tokens").integers(0, 7, (12, 3))),),
               (0.26612815850333205, 1.4586134190249882)),
    "preserving": (lambda: SignalTransformer(12, 2), lambda: (points(5, 64),), (0.04502818244489129, 0.015992474596443845)),
    "reset": (lambda: SignalTransformer(12, 2, skip="reset", activation="gelu"), lambda: (points(5, 64),),
              (0.6968022074912739, 3.6829986865809254)),
    "energy": (lambda: ContextEnergy(2, width=16), lambda: (points(3, 6, 2), points(3, 6, 2).flip(0)),
               (0.6921732568931284, 38.31432376287945)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_sharing_the_block_changed_no_number(name: str) -> None:
    make, inputs, (answers, slope) = CASES[name]
    net = initialized(make(), 0).double()
    loss = net(*inputs()).square().mean()
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    assert loss.item() == pytest.approx(answers, rel=1e-12)
    assert sum(float(g.square().sum()) for g in gradients) == pytest.approx(slope, rel=1e-12)


def test_one_query_is_one_of_many() -> None:
    """Written out for one query, in products for several: the same attention."""
    q, k, v = points(4, 3, 2, 6), points(4, 5, 2, 6, name="keys"), points(4, 5, 2, 6, name="values")
    bias = points(2, 3, 5, name="bias")
    several = attend(q, k, v, bias)
    for i in range(3):
        torch.testing.assert_close(attend(q[:, i : i + 1], k, v, bias[:, i : i + 1]), several[:, i : i + 1])


# -- stacked, traced, drawn -----------------------------------------------------------------------------------------------


def step_of(nets: list[Decoder]) -> tuple[Any, dict[str, Tensor]]:
    """Return the gradients and losses of stacked networks, as a function of their weights and rows, and the weights."""
    names = [name for name, _ in nets[0].named_parameters()]
    weights = {name: torch.stack([net.get_parameter(name).detach() for net in nets]) for name in names}

    def loss(own: dict[str, Tensor], rows: Tensor) -> Tensor:
        return functional_call(nets[0], own, (rows,)).square().mean()

    return vmap(grad_and_value(loss)), weights


@pytest.mark.parametrize("positions", POSITIONS)
def test_stacked_as_alone(positions: str) -> None:
    at = POSITIONS.index(positions) % 3
    nets = [decoder(positions=positions, mask=MASKS[at], read=("last", "all", "questions")[at]) for _ in range(2)]
    nets[1].load_state_dict({name: 1.1 * value for name, value in nets[1].state_dict().items()})
    step, weights = step_of(nets)
    rows = tokens(5, 2, 3, 6)
    gradients, losses = step(weights, rows)
    for i, net in enumerate(nets):
        loss = net(rows[i]).square().mean()
        assert losses[i].item() == pytest.approx(loss.item(), rel=1e-12)
        for name, found in zip(weights, torch.autograd.grad(loss, list(net.parameters())), strict=True):
            torch.testing.assert_close(gradients[name][i], found, rtol=1e-10, atol=1e-12)


def test_traced_as_called() -> None:
    """A step written down as plain operations gives the same bits for data that it was not written down with."""
    net = decoder(3, 1, vectors=True, layers=1, positions="rope", mask="examples", read="questions")
    step, weights = step_of([net, net])
    traced = make_fx(step)(weights, points(2, 3, 5, 3))
    rows = points(2, 3, 5, 3, name="others")
    for found, wanted in zip(traced(weights, rows), step(weights, rows), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_token_outside_is_refused_also_among_stacked_networks() -> None:
    """torch's embedding would read the next network's first row there, and Python's index the last for -1."""
    net = decoder()
    stacked = {name: torch.stack([p.detach(), p.detach()]) for name, p in net.named_parameters()}
    for wrong in (5, -1):
        x = torch.tensor([[0, wrong], [1, 2]])
        with pytest.raises(BadInput, match="a token lies outside 0 to 4"):
            net(x)
        with pytest.raises(BadInput, match="a token lies outside 0 to 4"):
            vmap(lambda w, rows: functional_call(net, w, (rows[None],)))(stacked, x)


def deviation(parameter: Tensor) -> float:
    return float(parameter.detach().double().square().mean().sqrt())


@pytest.mark.parametrize(("hidden", "sums"), [(None, 6), (0, 3)])
def test_gpt2s_first_weights(hidden: int | None, sums: int) -> None:
    """N(0, .02^2), what writes into the sum divided by the root of how often that is done; biases 0, gains 1."""
    net = initialized(Decoder(300, width=64, layers=3, hidden=hidden, positions="learned", length=80), 0)
    for name, parameter in net.named_parameters():
        if "norm" in name or name.startswith("final"):
            assert (parameter == (1 if name.endswith("weight") else 0)).all()
        elif name.endswith("bias"):
            assert (parameter == 0).all()
        else:
            wanted = 0.02 / math.sqrt(sums) if ".back." in name or ".down." in name else 0.02
            assert deviation(parameter) == pytest.approx(wanted, rel=0.05), name


def test_torchs_first_weights() -> None:
    """U(-1, 1) / sqrt(fan-in) for weights and biases of linear layers, N(0, 1) for rows that are looked up."""
    net = initialized(Decoder(300, width=64, positions="learned", length=80, init="torch"), 0)
    assert deviation(net.embed.weight) == pytest.approx(1, rel=0.05)
    assert deviation(net.position) == pytest.approx(1, rel=0.05)
    for part in (net.blocks[0].to_qkv, net.blocks[1].down, net.readout):
        edge = part.in_features**-0.5
        assert float(part.weight.detach().abs().max()) == pytest.approx(edge, rel=0.01)
        assert deviation(part.weight) == pytest.approx(edge / math.sqrt(3), rel=0.05)
        assert abs(float(part.weight.detach().mean())) < 0.05 * edge
    assert 0 < float(net.blocks[1].down.bias.detach().abs().max()) < net.blocks[1].down.in_features ** -0.5


def test_tied_ends_are_one_matrix() -> None:
    net, x = decoder(tied=True), tokens(5, 3, 4)
    free = decoder()
    free.load_state_dict({**net.state_dict(), "readout.weight": net.embed.weight})
    torch.testing.assert_close(net(x), free(x), rtol=0, atol=1e-12)
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in net.parameters()) == 5 * 8
    shared, both = (torch.autograd.grad(n(x).sum(), [n.embed.weight, *(m.weight for m in [n.readout] if m is not None)])
                    for n in (net, free))  # fmt: skip
    torch.testing.assert_close(shared[0], both[0] + both[1])


def test_descriptions_differ_where_decoders_do() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"width": 12}, {"layers": 1}, {"heads": 1}, {"hidden": 8}, {"activation": "relu"}, {"positions": "rope"},
        {"positions": "learned", "length": 3}, {"positions": "learned", "length": 4}, {"mask": "none"}, {"read": "all"},
        {"norm": "post"}, {"normalizer": "rms"}, {"bias": False}, {"tied": True}, {"init": "torch"}, {"outputs": 6},
        {"outputs": 6, "vectors": True},
    ]  # fmt: skip
    made = [Decoder(5, **{"width": 4, "heads": 2, "positions": "none", **change}) for change in changes]
    assert len({repr(net.describe()) for net in made}) == len(made)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"width": 10, "heads": 4}, "width is 10 and heads is 4: the width must be a multiple of the heads."),
        (
            {"width": 6, "heads": 2},
            "width is 6 and heads is 2: rope turns pairs of units, so width / heads must be even.",
        ),
        ({"width": 3, "heads": 1, "positions": "sinusoidal"}, "width is 3: sinusoidal positions are pairs"),
        ({"positions": "learned"}, "length is None and positions is 'learned': give the length"),
        ({"length": 4}, "length is 4 and positions is 'rope': give the length"),
        ({"positions": "relative"}, "positions is 'relative': choose one of none, learned, sinusoidal, rope, alibi."),
        ({"mask": "future"}, "mask is 'future': choose one of causal, none, examples."),
        ({"read": "first"}, "read is 'first': choose one of last, all, questions."),
        ({"activation": "swish"}, "there is no activation 'swish'"),
        ({"vectors": True}, "outputs is None: say how many numbers to answer"),
        ({"tied": True, "outputs": 3}, "tied is True with 5 tokens and 3 outputs: one matrix serves both ends only"),
    ],
)
def test_bad_decoders_are_refused_in_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        Decoder(5, **arguments)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("net", "inputs", "sentence"),
    [
        (lambda: decoder(), torch.zeros(2, 3), "given float32 of shape (2, 3): it takes (N, T) integers."),
        (lambda: decoder(), torch.zeros(2, dtype=torch.int64), "given int64 of shape (2,): it takes (N, T) integers."),
        (lambda: decoder(3, 1, vectors=True), torch.zeros(2, 4, 2), "of shape (2, 4, 2): it takes (N, T, 3) floats."),
        (lambda: decoder(positions="learned"), torch.zeros(2, 10, dtype=torch.int64), "a sequence has 10 tokens: this decoder has 9"),
    ],
)  # fmt: skip
def test_sequences_that_do_not_fit_are_refused(net: Any, inputs: Tensor, sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        net()(inputs)
    assert sentence in str(error.value)


def test_a_decoder_can_be_copied_and_looked_into() -> None:
    from phasescope.instruments.forward_pass import passage

    net = copy.deepcopy(decoder(positions="rope"))
    with passage(net, tokens(5, 3, 4), net.places) as found:
        assert [tuple(found.values[name].shape) for name in found.names] == [(3, 4, 8), (3, 4, 8), (3, 1, 8)]
