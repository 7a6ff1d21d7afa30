"""Which tensor is the signal, where blocks end, what is covered: on kinds of models that once were read wrongly."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import phasescope as ps
from phasescope.inspection import blocks_of
from phasescope.instruments.forward_pass import passage
from phasescope.instruments.partial_jacobian import exact_partial_norm
from phasescope.vocabulary import BadInput


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@dataclasses.dataclass(frozen=True)
class State:
    weights: Tensor
    x: Tensor


class Mixing(nn.Module):
    """x + weights(x) x, given in one of many ways, after weights that go nowhere."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.q, self.v, self.way = nn.Linear(12, 12), nn.Linear(12, 12), way

    def forward(self, given: Any) -> Any:
        x = {"tuple": lambda: given[1], "dict": lambda: given["x"]}.get(self.way, lambda: getattr(given, "x", given))()
        a = (self.q(x) @ x.transpose(1, 2)).softmax(-1)
        x = x + a @ self.v(x)
        return {"tuple": (a, x), "dict": {"a": a, "x": x}, "dataclass": State(a, x), "tensor": x}[self.way]


class Sublayers(nn.Module):
    """h + attention(norm(h)), then h + mlp(norm(h)), as in a transformer; ``blocks`` may be read whole or in two."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.before, self.behind = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.attn(self.before(h))
        return h + self.mlp(self.behind(h))


def test_branches_that_are_named_are_read_with_what_passes_them_by() -> None:
    """The first takes norm(h), and the signal is h: J over all of them is that over the whole blocks."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 12), *(Sublayers() for _ in range(3)), nn.Linear(12, 2))
    x = normal(16, 5)
    whole = ps.inspect(model, x, blocks=["1", "2", "3"])
    for names in (
        ["#.attn", "#.mlp"],
        ["*.attn", "*.mlp"],
        [f"{i}.{part}" for i in (1, 2, 3) for part in ("attn", "mlp")],
    ):
        parts = ps.inspect(model, x, blocks=names)
        assert parts.total == whole.total and len(parts.rows) == 7
        assert all(0.9 < row.skip < 1.1 for row in parts.rows[1:])
        assert parts.rows[2].to_end == whole.rows[1].to_end, "the first block ends where its second part does"
    found = ps.inspect(model, x, sublayers=True)
    assert found.blocks == parts.blocks and [row.chi for row in found.rows[1:]] == [row.chi for row in parts.rows[1:]]
    with pytest.raises(BadInput, match=r"no module that fits '#\.ffn': # is a number"):
        ps.inspect(model, x, blocks=["#.ffn"])


def test_sublayers_are_refused_where_there_are_none() -> None:
    chain = nn.Sequential(*(part for _ in range(4) for part in (nn.Linear(5, 5), nn.Tanh())), nn.Linear(5, 2))
    for model in (chain, Parent(inside=True)):  # a chain of layers, and blocks of one branch each
        with pytest.raises(BadInput, match=r"have no parts one after the other .*: leave out sublayers"):
            ps.inspect(model, normal(4, 5), sublayers=True)
    with pytest.raises(BadInput, match="both blocks and sublayers are given"):
        ps.inspect(chain, normal(4, 5), blocks=["0", "2"], sublayers=True)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_each_part_of_a_decoder_is_a_row_and_a_block_of_one_branch_stays_whole() -> None:
    torch.manual_seed(0)
    model = nn.Transformer(8, 2, 2, 2, 16, batch_first=True, norm_first=True, dropout=0.0)
    found = ps.inspect(model, (normal(4, 3, 8), normal(4, 3, 8, seed=1)), sublayers=True, probes=2, advice=False)
    assert found.blocks == tuple(f"encoder.layers.{i}.{part}" for i in (0, 1) for part in ("self_attn", "linear2"))
    inside = ("self_attn", "multihead_attn", "linear2")
    assert found.parts[0].blocks == tuple(f"decoder.layers.{i}.{part}" for i in (0, 1) for part in inside)
    torch.manual_seed(0)
    mixed = nn.Sequential(nn.Linear(5, 12), Sublayers(), Whole(Branch()), Sublayers(), nn.Linear(12, 2))
    assert ps.inspect(mixed, normal(4, 5), sublayers=True, probes=2).blocks == (
        "1.attn",
        "1.mlp",
        "2",
        "3.attn",
        "3.mlp",
    )


class Stack(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.i, self.o = nn.Linear(5, 12), nn.Linear(12, 2)
        self.b, self.way = nn.ModuleList(Mixing(way) for _ in range(3)), way

    def forward(self, x: Tensor) -> Tensor:
        x = self.i(x)
        h: Any = {"tuple": (x.sum(), x), "dict": {"a": x.sum(), "x": x}, "dataclass": State(x.sum(), x), "tensor": x}[
            self.way
        ]
        for b in self.b:
            h = b(h)
        x = {"tuple": lambda: h[1], "dict": lambda: h["x"]}.get(self.way, lambda: getattr(h, "x", h))()
        out: Tensor = self.o(x)
        return out


class Branch(nn.Module):
    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 24), nn.Linear(24, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(torch.tanh(self.up(self.norm(x))))
        return out


class Whole(nn.Module):
    """The same as a block of its own."""

    def __init__(self, branch: Branch) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.branch(x)
        return out


class Parent(nn.Module):
    def __init__(self, depth: int = 4, *, inside: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.e, self.norm, self.o, self.inside = nn.Linear(5, 12), nn.LayerNorm(12), nn.Linear(12, 3), inside
        self.layers = nn.ModuleList(Whole(b) if inside else b for b in (Branch() for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.e(x)
        for layer in self.layers:
            x = layer(x) if self.inside else layer(x) + x
        out: Tensor = self.o(self.norm(x))
        return out


class Conditioned(nn.Module):
    """``block(condition, x)``, where the condition goes to all blocks."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f, self.m = nn.Linear(12, 12), nn.Linear(12, 12)

        def forward(self, c: Tensor, x: Tensor) -> Tensor:
            return x + torch.tanh(self.f(x) * (1 + self.m(c)))

    def __init__(self) -> None:
        super().__init__()
        self.x, self.t, self.o = nn.Linear(6, 12), nn.Linear(4, 12), nn.Linear(12, 2)
        self.b = nn.ModuleList(self.Block() for _ in range(4))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        x, c = self.x(x), self.t(t)
        for b in self.b:
            x = b(c, x)
        out: Tensor = self.o(x)
        return out


class TestSignal:
    @pytest.mark.parametrize("way", ["tuple", "dict", "dataclass"])
    def test_it_is_what_goes_on_in_whatever_container(self, way: str) -> None:
        plain, other = (ps.inspect(Stack(w), normal(3, 4, 5), probes=2) for w in ("tensor", way))
        assert [r.chi for r in other.rows[1:]] == [r.chi for r in plain.rows[1:]]
        assert other.blocks == plain.blocks == ("b.0", "b.1", "b.2")

    def test_named_blocks_too_and_in_a_bare_passage(self) -> None:
        net, x, names = Stack("tuple"), normal(3, 4, 5), ["b.0", "b.2"]
        assert ps.inspect(net, x, blocks=names, probes=2).rows[1].shape == (4, 12)
        with passage(net, x, names) as found:
            assert [h.shape for h in found.values.values()] == [(3, 4, 12)] * 3

    def test_a_condition_that_comes_first_is_none(self) -> None:
        net, batch = Conditioned(), (normal(5, 6), normal(5, 4, seed=1))
        found = ps.inspect(net, batch, probes=2)
        assert found.rows[0].kernel == pytest.approx(float(net.x(batch[0]).detach().square().mean()), rel=1e-5)
        assert all(row.skip == pytest.approx(1, abs=0.4) for row in found.rows[1:])

    def test_a_batch_that_goes_through_numpy_is_read_from_the_first_layer_on(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.Sequential(*[p for _ in range(4) for p in (nn.Linear(8, 8), nn.Tanh())], nn.Linear(8, 1))

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.b(torch.from_numpy(np.sort(x.numpy())))
                return out

        assert len(ps.inspect(Net(), normal(4, 8), probes=2).blocks) == 4

    def test_two_signals_are_named_and_refused(self) -> None:
        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.f, self.g = nn.Linear(8, 8), nn.Linear(8, 8)

            def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
                a, b = pair
                a = a + self.f(b)
                return a, b + self.g(a)

        class Reversible(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.ModuleList(Two() for _ in range(3))

            def forward(self, x: Tensor) -> Tensor:
                pair = (x, x)
                for b in self.b:
                    pair = b(pair)
                return torch.cat(pair, 1)

        with pytest.raises(
            BadInput, match=r"'b\.0' gives \[0\] of shape \(4, 8\), \[1\] of shape \(4, 8\), of which more"
        ):
            ps.inspect(Reversible(), normal(4, 8), blocks=["b.0", "b.1", "b.2"])
        with pytest.raises(BadInput, match="no row of two or more blocks"):
            ps.inspect(Reversible(), normal(4, 8))


class TestPlaces:
    def test_a_residual_in_the_parent_reads_as_one_in_the_block(self) -> None:
        x = normal(5, 5)
        inside, outside = (ps.inspect(Parent(inside=inside), x, probes=2) for inside in (True, False))
        assert inside.blocks == outside.blocks == tuple(f"layers.{i}" for i in range(4))
        assert [r.chi.value for r in outside.rows[1:]] == pytest.approx(
            [r.chi.value for r in inside.rows[1:]], rel=1e-6
        )
        assert outside.total.value == pytest.approx(inside.total.value, rel=1e-6)

    def test_the_exact_jacobian_there_is_that_of_one_plus_branch(self) -> None:
        net, x = Parent(inside=False), normal(2, 5)
        blocks = blocks_of(net, x)
        with passage(net, x, blocks) as found:
            exact = exact_partial_norm(found, "layers.0", "layers.1")
            h = found.values["layers.0"].detach()
        jacobians = [torch.func.jacrev(lambda v: v + net.layers[1](v))(row) for row in h]
        assert exact == pytest.approx(float(sum(j.detach().square().sum() for j in jacobians) / h.numel()), rel=1e-5)

    @pytest.mark.parametrize("kind", ["spectral_norm", "weight_norm", "orthogonal"])
    def test_parametrized_layers_are_layers(self, kind: str) -> None:
        change = getattr(nn.utils.parametrizations, kind)
        parts = [p for _ in range(4) for p in (change(nn.Linear(12, 12)), nn.ReLU())]
        assert ps.inspect(nn.Sequential(*parts, nn.Linear(12, 1)), normal(4, 12), probes=2).blocks == (
            "0",
            "2",
            "4",
            "6",
        )

    def test_attention_and_mlp_are_one_block(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.e = nn.Linear(5, 12)
                self.layers = nn.ModuleList(nn.ModuleList([nn.Linear(12, 12), Branch()]) for _ in range(3))

            def forward(self, x: Tensor) -> Tensor:
                x = self.e(x)
                for attention, mlp in self.layers:  # type: ignore[misc]
                    x = attention(x) + x
                    x = mlp(x) + x
                return x

        assert ps.inspect(Net(), normal(4, 5), probes=2).blocks == ("layers.0", "layers.1", "layers.2")

    def test_encoder_and_decoder_are_read_apart(self) -> None:
        net = nn.Transformer(16, 2, 3, 3, 32, batch_first=True)
        found = ps.inspect(net, (normal(2, 5, 16), normal(2, 4, 16)), probes=2)
        assert found.blocks == tuple(f"encoder.layers.{i}" for i in range(3))
        assert [part.blocks for part in found.parts] == [tuple(f"decoder.layers.{i}" for i in range(3))]
        assert found.covered > 0.99
        assert "decoder.layers.2" in str(found) and "decoder.layers.2" in found._repr_html_()
        assert found.to_json()["parts"][0]["rows"][1]["block"] == "decoder.layers.0"

    def test_the_deepest_output_is_the_end(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.ReLU()) for _ in range(6))

            def forward(self, x: Tensor) -> list[Tensor]:
                seen = []
                for b in self.b:
                    x = b(x)
                    seen.append(x)
                return seen

        assert len(ps.inspect(Net(), normal(4, 12), probes=2).blocks) == 6


class Sized(nn.Module):
    """A tanh layer, a module without parts."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(outputs, inputs) / inputs**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight.T)


class TestWhatIsNoBlock:
    def test_a_stem_and_a_head_in_one_list_with_the_blocks(self) -> None:
        class Wrapped(nn.Sequential):
            def __init__(self, inputs: int, outputs: int) -> None:
                super().__init__(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU())

        blocks = [Whole(Branch()) for _ in range(3)]
        net = nn.Sequential(nn.Sequential(Wrapped(5, 12), *blocks, Wrapped(12, 9)), nn.Linear(9, 2))
        assert blocks_of(net, normal(4, 5)) == ("0.1", "0.2", "0.3")

    def test_a_readout_of_the_blocks_class(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.ModuleList(Sized(6 if i == 0 else 12, 12) for i in range(4))
                self.last = Sized(12, 2)

            def forward(self, x: Tensor) -> Tensor:
                for layer in self.layers:
                    x = layer(x)
                out: Tensor = self.last(x)
                return out

        assert blocks_of(Net(), normal(4, 6)) == tuple(f"layers.{i}" for i in range(4))

    def test_a_readout_that_is_interpolated(self) -> None:
        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = x + self.two(torch.tanh(self.one(x)))
                return out

        head = nn.Sequential(nn.Conv2d(8, 64, 1), nn.ReLU(), nn.Conv2d(64, 2, 1))
        net = nn.Sequential(nn.Sequential(*(Residual() for _ in range(3))), head, nn.Upsample(scale_factor=2))
        assert blocks_of(net, normal(2, 8, 6, 6)) == ("0.0", "0.1", "0.2")


class TestCoverage:
    def test_a_further_row_of_a_tenth_is_read_too(self) -> None:
        class Thin(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.up, self.down = nn.Linear(6, 24), nn.Linear(24, 6)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = x + self.down(torch.tanh(self.up(x)))
                return out

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.wide = nn.ModuleList(Whole(Branch(24)) for _ in range(3))
                self.narrow = nn.ModuleList(Thin() for _ in range(3))
                self.o = nn.Linear(6, 1)

            def forward(self, x: Tensor) -> Tensor:
                for block in self.wide:
                    x = block(x)
                x = x[:, :6]
                for block in self.narrow:
                    x = block(x)
                out: Tensor = self.o(x)
                return out

        found = ps.inspect(Net(), normal(4, 24), probes=2)
        assert found.blocks == (*(f"wide.{i}" for i in range(3)), *(f"narrow.{i}" for i in range(3)))

    def test_what_is_not_read_is_said(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.ReLU()) for _ in range(4))
                self.left, self.right, self.o = nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(8, 1)
                self.table = nn.Embedding(10**4, 8)

            def forward(self, x: Tensor) -> Tensor:
                for b in self.b:
                    x = b(x)
                out: Tensor = self.o(self.left(x) * self.right(x))
                return out

        found = ps.inspect(Net(), normal(4, 12), probes=2)
        held, beside = 4 * (12 * 12 + 12), 2 * (12 * 8 + 8)
        assert found.covered == pytest.approx(held / (held + beside))
        assert "The blocks cover 75 % of the parameters" in str(found)
        assert found.coverage.endswith("not read: left, right")

    def test_less_than_half_is_refused_but_not_where_it_is_named(self) -> None:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.b = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.ReLU()) for _ in range(3))
                self.wide, self.other, self.o = nn.Linear(12, 99), nn.Linear(12, 99), nn.Linear(99, 1)

            def forward(self, x: Tensor) -> Tensor:
                for b in self.b:
                    x = b(x)
                out: Tensor = self.o(self.wide(x) * self.other(x))
                return out

        with pytest.raises(BadInput, match=r"cover 15 % of the parameters; not read: wide, other"):
            ps.inspect(Net(), normal(4, 12))
        assert ps.inspect(Net(), normal(4, 12), blocks=["b.0", "b.2"], probes=2).blocks == ("b.0", "b.2")


class TestReport:
    def test_shape_and_parameters_stand_in_each_row_and_two_lines_explain(self) -> None:
        text = str(ps.inspect(Parent(inside=True), normal(5, 5), probes=2))
        assert "kernel: mean square" in text.splitlines()[1]
        assert "chi_J: J across one block" in text.splitlines()[2]
        row = next(line for line in text.splitlines() if line.startswith("layers.1 "))
        assert row.split()[1:3] == ["12", f"{24 + 12 * 24 + 24 + 24 * 12 + 12:,}"]

    def test_of_many_rows_the_summary_comes_first(self) -> None:
        texts = [str(ps.inspect(Parent(depth, inside=True), normal(5, 5), probes=2)).splitlines() for depth in (5, 31)]
        places = [next(i for i, line in enumerate(text) if ": over" in line) for text in texts]
        tables = [next(i for i, line in enumerate(text) if line.startswith("block ")) for text in texts]
        assert places[0] > tables[0] and places[1] < tables[1]
