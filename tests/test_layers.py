"""The room ``layers``: which layers of a decoder can go. On tiny random models of the families of transformers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import phasescope as ps
from phasescope.inspection.load import load_batch
from phasescope.layers.angular import angles
from phasescope.layers.passes import reading, rows_at_once, states_between
from phasescope.layers.removal import counts_of, random_starts
from phasescope.layers.stack import stack_of
from phasescope.vocabulary import BadInput

transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")

WORDS, DEPTH, TOKENS = 61, 5, 12
PLAIN: dict[str, Any] = {
    "vocab_size": WORDS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": DEPTH,
    "num_attention_heads": 2, "max_position_embeddings": 32, "bos_token_id": None, "eos_token_id": None,
    "pad_token_id": None, "initializer_range": 0.2,
}  # fmt: skip
OLD: dict[str, Any] = {
    "vocab_size": WORDS, "n_embd": 16, "n_layer": DEPTH, "n_head": 2, "n_positions": 32, "bos_token_id": None,
    "eos_token_id": None, "initializer_range": 0.2,
}  # fmt: skip
GROUPED = {**PLAIN, "num_key_value_heads": 1}
SLIDING = {**GROUPED, "head_dim": 8, "sliding_window": 3}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "mistral": ("MistralForCausalLM", "MistralConfig", {**GROUPED, "sliding_window": 4}),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**SLIDING, "use_sliding_window": True, "max_window_layers": 2}),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", {**SLIDING, "sliding_window_pattern": 2}),
    "phi": ("PhiForCausalLM", "PhiConfig", PLAIN),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", {**PLAIN, "pad_token_id": 0}),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", OLD),
    "gpt-neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", PLAIN),
    "opt": ("OPTForCausalLM", "OPTConfig", {
        **{k: v for k, v in PLAIN.items() if k not in ("intermediate_size", "initializer_range", "pad_token_id")},
        "ffn_dim": 24, "word_embed_proj_dim": 16, "init_std": 0.2, "pad_token_id": 0}),
    "smollm3": ("SmolLM3ForCausalLM", "SmolLM3Config", {**GROUPED, "pad_token_id": 0}),
}  # fmt: skip
TOKENS_ONLY = {"dtype": torch.int64}


def built(family: str, **changes: Any) -> Any:
    kind, config, numbers = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return getattr(transformers, kind)(getattr(transformers, config)(**{**numbers, **changes})).eval()


MODELS: dict[str, Any] = {}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Any:
    """A model of each family; built once, because every test must leave it as it was."""
    if request.param not in MODELS:
        MODELS[request.param] = built(request.param)
    return MODELS[request.param]


@pytest.fixture
def llama() -> Any:
    return built("llama")


def ids(rows: int = 3, length: int = TOKENS, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(2, WORDS, (rows, length)))


def logits(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens, use_cache=False).logits


@contextmanager
def skipping(model: nn.Module, start: int, n: int) -> Iterator[None]:
    """The literal reference: all layers run, and the output of those in the block is thrown away."""

    def through(_part: nn.Module, args: Any, keywords: Any, out: Any) -> Any:
        given = args[0] if args else keywords["hidden_states"]
        return given if isinstance(out, torch.Tensor) else (given, *out[1:])

    handles = [p.register_forward_hook(through, with_kwargs=True) for p in stack_of(model).layers[start : start + n]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def direct(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """The literal reference: the angles (N, T, L+1, L+1) in float64, pair by pair, from states kept for all samples."""
    with reading(model), states_between(stack_of(model)) as states:
        model(tokens, use_cache=False)
        x = [state.double().clone() for state in states]
    found = torch.zeros(*tokens.shape, len(x), len(x), dtype=torch.float64)
    for i, a in enumerate(x):
        for j, b in enumerate(x):
            cosine = (a * b).sum(-1) / (a * a).sum(-1).sqrt() / (b * b).sum(-1).sqrt()
            found[:, :, i, j] = cosine.clamp(-1, 1).arccos() / math.pi
    return found


class TestWithout:
    @pytest.mark.parametrize(("start", "n"), [(0, 1), (1, 2), (3, 2), (0, 4), (2, 1)])
    def test_it_is_the_forward_that_skips_bit_for_bit(self, model: Any, start: int, n: int) -> None:
        with skipping(model, start, n):
            expected = logits(model, ids())
        shorter = ps.layers.without(model, start, n)
        assert len(stack_of(shorter).layers) == shorter.config.num_hidden_layers == DEPTH - n
        assert torch.equal(logits(shorter, ids()), expected)
        assert not torch.equal(logits(model, ids()), expected)

    def test_nothing_left_out_is_the_identity(self, model: Any) -> None:
        same = ps.layers.without(model, 0, 0)
        assert torch.equal(logits(same, ids()), logits(model, ids()))
        assert same.config.to_dict() == model.config.to_dict()

    def test_the_model_is_left_as_it_was(self, model: Any) -> None:
        before, config = logits(model, ids()), model.config.to_dict()
        ps.layers.without(model, 1, 3)
        assert torch.equal(logits(model, ids()), before)
        assert model.config.to_dict() == config
        assert len(stack_of(model).layers) == DEPTH

    def test_the_cache_counts_the_layers_that_are_left(self, model: Any) -> None:
        shorter = ps.layers.without(model, 1, 2)
        told = {"attention_mask": torch.ones_like(ids()), "max_new_tokens": 5, "do_sample": False}
        written = [shorter.generate(ids(), use_cache=cached, **told) for cached in (True, False)]
        assert torch.equal(*written) and written[0].shape == (3, TOKENS + 5)

    def test_blocks_can_be_left_out_one_after_the_other(self, llama: Any) -> None:
        with skipping(llama, 1, 3):
            expected = logits(llama, ids())
        twice = ps.layers.without(ps.layers.without(llama, 1, 2), 1, 1)
        assert torch.equal(logits(twice, ids()), expected)

    def test_weights_share_memory_but_not_their_flags(self, llama: Any) -> None:
        shorter = ps.layers.without(llama, 1, 2)
        kept, first = stack_of(shorter).layers[1].mlp.up_proj.weight, stack_of(llama).layers[3].mlp.up_proj.weight
        assert kept.data_ptr() == first.data_ptr()
        kept.requires_grad_(False)
        assert first.requires_grad

    def test_each_layer_keeps_its_own_kind_of_attention(self) -> None:
        mixed = built("qwen3")
        kinds = mixed.config.layer_types
        assert len(set(kinds)) == 2, "the test needs layers of two kinds"
        shorter = ps.layers.without(mixed, 0, 2)
        assert shorter.config.layer_types == kinds[2:]
        shorter.config.layer_types = kinds[: DEPTH - 2]  # the wrong version: the list cut at its end
        with skipping(mixed, 0, 2):
            assert not torch.equal(logits(shorter, ids()), logits(mixed, ids()))

    @pytest.mark.parametrize(("start", "n"), [(0, DEPTH), (0, DEPTH + 1), (0, -1), (-1, 1), (4, 2), (DEPTH, 1)])
    def test_a_block_outside_is_refused(self, llama: Any, start: int, n: int) -> None:
        with pytest.raises(BadInput, match=r"n is .* has 5 layers: .* at most 4|start is .* begins between 0 and"):
            ps.layers.without(llama, start, n)

    def test_a_layer_that_depends_on_its_place_is_refused(self) -> None:
        scaled = built("gpt2", scale_attn_by_inverse_layer_idx=True)
        with pytest.raises(BadInput, match=r"layer 3 can not become layer 1 of 3: its attn has scaling .* the place"):
            ps.layers.without(scaled, 1, 2)
        with skipping(scaled, 3, 2):
            assert torch.equal(logits(ps.layers.without(scaled, 3, 2), ids()), logits(scaled, ids()))

    def test_other_models_are_refused_with_the_reason(self, llama: Any) -> None:
        small = {**PLAIN, "num_hidden_layers": 2, "pad_token_id": 0}
        bert = transformers.BertForMaskedLM(transformers.BertConfig(**small))
        t5 = transformers.T5ForConditionalGeneration(
            transformers.T5Config(vocab_size=WORDS, d_model=16, d_ff=24, num_layers=1, num_heads=2, d_kv=8)
        )
        for other, reason in (
            (nn.Linear(2, 2), "no model of transformers"),
            (bert, "predicts no next token"),
            (t5, "an encoder beside its decoder"),
            (llama.model, "predicts no next token"),
        ):
            with pytest.raises(BadInput, match=reason):
                ps.layers.without(other, 0, 1)
        llama.model.rows = llama.model.layers
        del llama.model.layers
        with pytest.raises(BadInput, match="layers of LlamaForCausalLM were not found: no list of 5 layers"):
            stack_of(llama)

    def test_a_layer_used_twice_is_refused(self, llama: Any) -> None:
        llama.model.layers[3] = llama.model.layers[2]
        with pytest.raises(BadInput, match="uses a layer more than once"):
            ps.layers.without(llama, 0, 1)


class TestDistances:
    def test_closed_forms(self) -> None:
        a = torch.tensor([3.0, 0.0, 0.0])
        found = angles(torch.stack([a, 2 * a, torch.tensor([0.0, 5.0, 0.0]), -a, torch.tensor([1.0, 1.0, 0.0])]))
        assert found[0].tolist() == pytest.approx([0, 0, 0.5, 1, 0.25], abs=1e-8)

    def test_nearly_equal_directions_need_more_than_float32(self) -> None:
        turn = 1e-5
        pair = torch.tensor([[1.0, 0.0], [math.cos(turn), math.sin(turn)]], dtype=torch.float64)
        assert float(angles(pair)[0, 1]) == pytest.approx(turn / math.pi, rel=1e-4)
        wrong = (pair.float() @ pair.float().T).clamp(-1, 1).arccos() / math.pi
        assert float(wrong[0, 1]) != pytest.approx(turn / math.pi, rel=0.5)

    @pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
    def test_what_has_no_direction_is_refused(self, bad: float) -> None:
        with pytest.raises(BadInput, match="zero or not finite"):
            angles(torch.tensor([[1.0, 0.0], [bad, 0.0]]))

    @pytest.mark.parametrize("batch", [None, 1, 2])
    def test_equal_to_the_direct_computation(self, model: Any, batch: int | None) -> None:
        tokens = ids(rows=5)
        found, expected = ps.layers.distances(model, tokens, skip=2, batch=batch), direct(model, tokens).numpy()
        last, mean = expected[:, -1], expected[:, 2:].mean(1)
        for value, error, samples in ((found.last, found.last_error, last), (found.mean, found.mean_error, mean)):
            np.testing.assert_allclose(value, samples.mean(0), atol=1e-6)
            np.testing.assert_allclose(error, samples.std(0, ddof=1) / math.sqrt(5), atol=1e-6)

    def test_the_states_are_those_of_transformers(self, model: Any) -> None:
        with reading(model), states_between(stack_of(model)) as states:
            out = model(ids(), use_cache=False, output_hidden_states=True)
        for mine, theirs in zip(states[:-1], out.hidden_states[:-1], strict=True):
            assert torch.equal(mine, theirs)
        assert states[-1].shape == states[0].shape

    def test_exactly_one_pass_over_the_text(self, llama: Any) -> None:
        seen: list[int] = []
        handle = llama.model.layers[0].register_forward_hook(lambda _p, args, _o: seen.append(len(args[0])))
        ps.layers.distances(llama, ids(rows=7), batch=3)
        handle.remove()
        assert seen == [3, 3, 1]

    def test_the_model_is_left_as_it_was(self, llama: Any) -> None:
        llama.train()
        llama.model.layers[2].eval()
        ps.layers.distances(llama, ids())
        ps.layers.losses(llama, ids())
        assert llama.training and llama.model.layers[0].training and not llama.model.layers[2].training
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in llama.modules())
        assert all(p.grad is None for p in llama.parameters())

    def test_halves_of_the_precision_move_them_a_little(self, llama: Any) -> None:
        exact = ps.layers.distances(llama, ids()).last
        rough = ps.layers.distances(built("llama").to(torch.bfloat16), ids()).last
        assert 0 < np.abs(exact - rough).max() < 0.02

    def test_the_nearest_block_is_the_smallest_by_hand(self, llama: Any) -> None:
        found = ps.layers.distances(llama, ids())
        for kind, matrix in (("last", found.last), ("mean", found.mean)):
            for n in range(1, DEPTH):
                by_hand = min(range(DEPTH - n + 1), key=lambda i: matrix[i, i + n])
                assert found.best(n, kind) == by_hand

    def test_the_deepest_block_keeps_the_last_layer(self) -> None:
        assert [ps.layers.deepest(DEPTH, n) for n in range(DEPTH)] == [4, 3, 2, 1, 0]
        with pytest.raises(BadInput, match="n is 5 and the model has 5 layers"):
            ps.layers.deepest(DEPTH, DEPTH)

    def test_as_a_dataset(self, llama: Any) -> None:
        found = ps.layers.distances(llama, ids())
        data = found.to_dataset()
        assert float(data.distance.sel(tokens="mean", n=2, layer=1)) == found.mean[1, 3]
        assert bool(data.distance.sel(n=2, layer=DEPTH - 1).isnull().all())
        assert np.allclose(data.distance.sel(n=0, layer=slice(0, DEPTH - 1)), 0, atol=1e-7)

    def test_one_sample_has_no_error(self, llama: Any) -> None:
        assert np.isnan(ps.layers.distances(llama, ids(rows=1)).last_error).all()

    @pytest.mark.parametrize(("tokens", "said"), [
        (torch.zeros(3, 4), "float32 of shape"), (torch.zeros(3, **TOKENS_ONLY), r"shape \(3,\)"),
        (torch.zeros(0, 4, **TOKENS_ONLY), "N >= 1"), (torch.full((1, 4), WORDS), "knows 0 to 60"),
        (torch.full((1, 4), -1), "-1, and the model knows"), (torch.ones(1, 33, **TOKENS_ONLY), "the model takes 32"),
    ])  # fmt: skip
    def test_tokens_that_the_model_can_not_take_are_refused(self, llama: Any, tokens: torch.Tensor, said: str) -> None:
        for measure in (ps.layers.distances, ps.layers.losses):
            with pytest.raises(BadInput, match=said):
                measure(llama, tokens)

    def test_numbers_out_of_range_are_refused(self, llama: Any) -> None:
        with pytest.raises(BadInput, match="skip is 12, and samples have 12"):
            ps.layers.distances(llama, ids(), skip=TOKENS)
        with pytest.raises(BadInput, match="batch is 0"):
            ps.layers.distances(llama, ids(), batch=0)


class TestLosses:
    def test_equal_to_the_direct_computation(self, model: Any) -> None:
        tokens = ids(rows=5)
        chances = logits(model, tokens).double().log_softmax(-1)
        expected = [
            -np.mean([float(chances[i, t, tokens[i, t + 1]]) for t in range(TOKENS - 1)]) for i in range(len(tokens))
        ]
        for batch in (None, 2):
            found = ps.layers.losses(model, tokens, batch=batch)
            np.testing.assert_allclose(found.values, expected, atol=1e-5)
        assert found.tokens == TOKENS - 1

    def test_a_model_that_knows_nothing_loses_log_of_the_vocabulary(self, llama: Any) -> None:
        nn.init.zeros_(llama.lm_head.weight)
        found = ps.layers.losses(llama, ps.layers.Samples(ids(rows=4), np.full(4, 22)))
        assert found.mean == pytest.approx(math.log(WORDS), abs=1e-6)
        assert found.perplexity == pytest.approx(WORDS, rel=1e-5)
        assert found.bits_per_byte == pytest.approx(math.log2(WORDS) * 11 / 22, rel=1e-6)
        assert found.interval == pytest.approx((found.mean, found.mean), abs=1e-5)

    def test_intervals_by_hand(self) -> None:
        found = ps.layers.Losses(np.array([1.0, 2.0, 3.0]), tokens=2, sizes=np.array([4, 4, 4]))
        half = 4.302652729911275 / math.sqrt(3)  # t of 0.975 with 2 degrees of freedom, NIST table
        assert found.interval == pytest.approx((2 - half, 2 + half))
        assert found.bits_per_byte_interval == pytest.approx(tuple(x / 2 / math.log(2) for x in found.interval))
        assert found.above(ps.layers.Losses(found.values - 0.1, 2)).error == pytest.approx(0, abs=1e-12)

    def test_without_sizes_or_with_one_sample_there_is_no_reading(self) -> None:
        one = ps.layers.Losses(np.array([800.0]), tokens=2)
        assert math.isnan(one.error) and math.isnan(one.bits_per_byte) and math.isnan(one.interval[0])
        assert math.isinf(one.perplexity)

    def test_a_large_vocabulary_makes_small_batches(self, llama: Any) -> None:
        assert rows_at_once(llama, 512) == 4
        llama.config.vocab_size = 150_000
        assert rows_at_once(llama, 512) == 1


def with_identity(family: str, layers: tuple[int, ...]) -> Any:
    """A model whose ``layers`` add nothing to what passes through them."""
    net = built(family)
    for i in layers:
        layer = net.model.layers[i]
        nn.init.zeros_(layer.self_attn.o_proj.weight)
        nn.init.zeros_(layer.mlp.down_proj.weight)
    return net


class TestCurve:
    def test_layers_that_do_nothing_are_found_and_cost_nothing(self) -> None:
        net = with_identity("llama", (1, 2))
        found = ps.layers.distances(net, ids())
        assert found.best(2) == found.best(2, "mean") == 1
        assert found.across(2)[0][1] < 1e-7 < found.across(2)[0].max()
        lost = ps.layers.curve(net, ids(), found, counts=(1, 2, 3), draws=9)
        for n in (1, 2):
            (nearest,) = lost.of("nearest", n)
            assert nearest.losses.above(lost.whole).mean == pytest.approx(0, abs=1e-7)
            assert max(abs(r.losses.above(lost.whole).mean) for r in lost.of("random", n)) > 1e-3
        assert abs(lost.of("nearest", 3)[0].losses.above(lost.whole).mean) > 1e-3

    def test_every_removal_is_the_loss_without_that_block(self, llama: Any) -> None:
        found = ps.layers.distances(llama, ids())
        lost = ps.layers.curve(llama, ids(), found, draws=2, seed=3)
        assert lost.counts == counts_of(DEPTH)
        for removal in lost.removals:
            expected = ps.layers.losses(ps.layers.without(llama, removal.start, removal.n), ids())
            np.testing.assert_array_equal(removal.losses.values, expected.values)
        assert [r.start for r in lost.of("deepest", 2)] == [2]
        data = lost.to_dataset()
        assert dict(data.sizes) == {"removal": 4 * len(lost.counts)} and data.attrs["loss"] == lost.whole.mean

    def test_random_blocks_are_all_blocks_alike(self) -> None:
        drawn = [random_starts(30, 5, 3, seed) for seed in range(400)]
        assert all(len(set(starts)) == 3 for starts in drawn) and random_starts(30, 5, 3, 7) == drawn[7]
        counts = np.bincount(np.ravel(drawn), minlength=26)
        assert counts.size == 26 and abs(counts - 1200 / 26).max() < 5 * math.sqrt(1200 / 26)
        assert random_starts(5, 3, 10, 0) == (0, 1, 2)

    def test_a_block_of_all_layers_is_refused_before_anything_runs(self, llama: Any) -> None:
        found = ps.layers.distances(llama, ids())
        with pytest.raises(BadInput, match="n is 5"):
            ps.layers.curve(llama, ids(), found, counts=(1, DEPTH))

    @pytest.mark.parametrize("depth", [2, 3, 4, 12, 30, 80])
    def test_the_counts_tried_are_inside_the_model(self, depth: int) -> None:
        tried = counts_of(depth)
        assert tried[0] == 1 and tried[-1] <= max(1, 2 * depth // 3) < depth and len(tried) <= 12


def tokenizer_of(text: str) -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    plain = tokenizers.Tokenizer(tokenizers.models.BPE())
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    plain.train_from_iterator([text], trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain)


TEXT = (
    "Stand by the grey stone when the thrush knocks; the last light of Durin’s Day will shine upon the key-hole. " * 20
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tokenizer_of(TEXT)


def tokenizer_that_begins(text: str) -> Any:
    """A tokenizer that puts a token before any text, as Llama's and Gemma's."""
    tokenizers = pytest.importorskip("tokenizers")
    found = tokenizer_of(text)
    found.add_special_tokens({"bos_token": "<s>"})
    found.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", found.bos_token_id)]
    )
    return found


class TestText:
    def test_a_sample_begins_as_the_tokenizer_begins_a_text(
        self, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begins = tokenizer_that_begins(TEXT)
        plain = ps.layers.samples([TEXT], tokenizer, length=15).ids
        found = ps.layers.samples([TEXT], begins, length=16)
        assert (found.ids[:, 0] == begins.bos_token_id).all()
        assert torch.equal(found.ids[:, 1:], plain)
        words = [begins.decode(row[1:]) for row in found.ids]  # all of them are predicted
        whole = np.array(["\N{REPLACEMENT CHARACTER}" not in word for word in words])
        sizes = np.array([len(word.encode()) for word in words])
        np.testing.assert_array_equal(found.sizes[whole], sizes[whole])
        monkeypatch.setattr(type(begins), "is_fast", False)
        slow = ps.layers.samples([TEXT], begins, length=16).sizes
        np.testing.assert_array_equal(slow[whole], sizes[whole])
        np.testing.assert_allclose(slow, found.sizes, rtol=0, atol=3)
        monkeypatch.undo()
        begins.save_pretrained(tmp_path)
        (tmp_path / "text.txt").write_text(TEXT)
        rows = load_batch(tmp_path / "text.txt", nn.Linear(1, 1), str(tmp_path))["input_ids"]
        assert (rows[:, 0] == begins.bos_token_id).all()
        named = tmp_path / "data" / "moby-dick"
        named.mkdir(parents=True)
        monkeypatch.setenv("PHASESCOPE_DATA", str(named.parent))
        (named / "data.txt").write_text(TEXT)
        assert torch.equal(load_batch(Path("moby-dick"), nn.Linear(1, 1), str(tmp_path))["input_ids"], rows)
        with pytest.raises(BadInput, match="fetch it with `phasescope data english`"):
            load_batch(Path("english"), nn.Linear(1, 1), str(tmp_path))
        whole = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
        assert rows[:, 1:].flatten().tolist() == whole[: rows[:, 1:].numel()]

    def test_samples_are_the_text_in_order_without_overlap(self, tokenizer: Any) -> None:
        found = ps.layers.samples([TEXT], tokenizer, length=16)
        whole = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
        assert found.ids.flatten().tolist() == whole[: len(whole) // 16 * 16]
        assert found.ids.dtype == torch.int64

    def test_sizes_are_the_bytes_of_the_predicted_tokens(self, tokenizer: Any) -> None:
        found = ps.layers.samples([TEXT], tokenizer, length=16)
        first = [tokenizer.decode(row[:1]) for row in found.ids]
        rest = [len(tokenizer.decode(row).encode()) - len(a.encode()) for row, a in zip(found.ids, first, strict=True)]
        split = np.array(
            ["\N{REPLACEMENT CHARACTER}" in tokenizer.decode(row[i:]) for row in found.ids for i in (0, 1)]
        )
        split = split.reshape(-1, 2).any(1)
        np.testing.assert_array_equal(found.sizes[~split], np.array(rest)[~split])
        assert abs(found.sizes.sum() - len(TEXT.encode())) < 16 * len(found)

    def test_no_sample_spans_two_texts(self, tokenizer: Any) -> None:
        found = ps.layers.samples(["the stone " * 30, "Day light " * 30], tokenizer, length=10)
        for row in found.ids:
            said = tokenizer.decode(row)
            assert ("stone" in said) != ("light" in said)

    def test_first_ones_read_no_more_than_they_need(self, tokenizer: Any) -> None:
        def texts() -> Iterator[str]:
            yield TEXT
            raise AssertionError("read on")

        assert len(ps.layers.samples(texts(), tokenizer, length=8, count=5)) == 5

    def test_random_ones_are_all_alike_and_drawn_again_by_seed(self, tokenizer: Any) -> None:
        letters = np.random.default_rng(0).choice(list("abcdef "), (3, 120))
        parts = ["".join(row) for row in letters]
        every = [tuple(row.tolist()) for row in ps.layers.samples(parts, tokenizer, length=16).ids]
        places: dict[Any, int] = {row: i for i, row in enumerate(every)}
        assert len(places) == len(every), "the test needs samples that differ"
        chosen = []
        for seed in range(200):
            rows = [
                places[tuple(r.tolist())]
                for r in ps.layers.samples(parts, tokenizer, length=16, count=4, seed=seed).ids
            ]
            assert rows == sorted(set(rows))
            chosen += rows
        mean = 800 / len(every)
        assert abs(np.bincount(chosen, minlength=len(every)) - mean).max() < 5 * math.sqrt(mean)
        again = ps.layers.samples(parts, tokenizer, length=16, count=4, seed=3)
        assert torch.equal(again.ids, ps.layers.samples(parts, tokenizer, length=16, count=4, seed=3).ids)

    def test_a_text_shorter_than_one_sample_is_refused(self, tokenizer: Any) -> None:
        with pytest.raises(BadInput, match=r"the longest text has \d+ tokens: give one of 512 or more"):
            ps.layers.samples(["short", "a little longer"], tokenizer, length=512)
        with pytest.raises(
            BadInput, match=r"makes \d+ samples of 16 tokens, not 999: give more text, or ask for fewer"
        ):
            ps.layers.samples([TEXT], tokenizer, length=16, count=999)
        assert len(ps.layers.samples([TEXT], tokenizer, length=16, count=999, fewer=True)) > 5

    @pytest.mark.parametrize("given", [
        {"length": 1}, {"length": 2.5}, {"length": "8"}, {"length": None}, {"count": 0}, {"count": 2.5}, {"count": "3"},
        {"seed": -1}, {"seed": "a"}, {"texts": None}, {"texts": Path("a.txt")}, {"texts": [3]}, {"texts": ["half \ud83d"]},
        {"tokenizer": None}, {"tokenizer": "gpt2"},
    ])  # fmt: skip
    def test_what_makes_no_samples_is_refused(self, tokenizer: Any, given: dict[str, Any]) -> None:
        asked: dict[str, Any] = {"texts": [TEXT], "tokenizer": tokenizer, "length": 8, "count": 2, **given}
        with pytest.raises(BadInput, match=r": (give|write)") as refused:
            ps.layers.samples(**asked)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("fast", [True, False])
    @pytest.mark.parametrize("length", [2, 5, 16])
    def test_no_byte_is_counted_twice_where_letters_are_several_tokens(
        self, monkeypatch: pytest.MonkeyPatch, fast: bool, length: int
    ) -> None:
        text = "Grüße, 漢字 🙂 " * 20
        begins = tokenizer_that_begins("abc")
        monkeypatch.setattr(type(begins), "is_fast", fast)
        own = begins(text, add_special_tokens=False)["input_ids"]
        bytes_ = np.array([len(part) for part in begins.convert_ids_to_tokens(own)])  # one letter for each byte
        assert bytes_.sum() == len(text.encode())
        found = ps.layers.samples([text], begins, length=length)
        exact = bytes_[: len(found) * (length - 1)].reshape(len(found), -1).sum(1)
        np.testing.assert_allclose(found.sizes, exact, rtol=0, atol=0 if fast else 3)  # or with the last of its tokens
        assert abs(int(found.sizes.sum()) - int(exact.sum())) <= 3

    def test_a_space_belongs_to_the_token_after_it_where_places_leave_spaces_out(self) -> None:
        tokenizers = pytest.importorskip("tokenizers")
        trims = tokenizer_that_begins(TEXT)
        begin = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", trims.bos_token_id)])
        trims.backend_tokenizer.post_processor = tokenizers.processors.Sequence(
            [tokenizers.processors.ByteLevel(trim_offsets=True), begin]
        )
        plain = ps.layers.samples([TEXT], tokenizer_that_begins(TEXT), length=9)
        np.testing.assert_array_equal(ps.layers.samples([TEXT], trims, length=9).sizes, plain.sizes)

    def test_files_and_folders(self, tmp_path: Path) -> None:
        (tmp_path / "b.txt").write_text("second")
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "z.md").write_text("first", encoding="utf-8")
        (tmp_path / "c.json").write_text("{}")
        assert list(ps.layers.read_texts(tmp_path)) == ["first", "second"]
        assert list(ps.layers.read_texts(tmp_path / "c.json")) == ["{}"]
        (tmp_path / "d.txt").write_bytes(b"\xff\xfe\xff")
        with pytest.raises(BadInput, match=r"d\.txt is no text in UTF-8"):
            list(ps.layers.read_texts(tmp_path))
        (tmp_path / "empty").mkdir()
        with pytest.raises(BadInput, match=r"empty has no text: put files there that end in \.txt"):
            list(ps.layers.read_texts(tmp_path / "empty"))
        with pytest.raises(BadInput, match="can not be read"):
            list(ps.layers.read_texts(tmp_path / "nowhere.txt"))
