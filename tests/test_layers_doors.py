"""What goes into ``layers`` and what is refused at its doors: token ids, wrappers, broken weights, unusual families."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import phasescope as ps
from phasescope.commands.layers import Asked, layers
from phasescope.commands.prune import Healing, pruned
from phasescope.instruments.signal import mean_cosine
from phasescope.layers.adapters import mlp_projections
from phasescope.layers.angular import angles
from phasescope.layers.checkpoint import check_promise
from phasescope.layers.stack import stack_of
from phasescope.vocabulary import BadInput

transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")

WORDS, DEPTH = 31, 4
NUMBERS: dict[str, Any] = {
    "vocab_size": WORDS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": DEPTH,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 32,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0, "initializer_range": 0.2,
}  # fmt: skip
IDS = torch.from_numpy(np.random.default_rng(0).integers(1, WORDS, (3, 10)))


def built(kind: str = "Llama", config: str = "LlamaConfig", **changes: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = getattr(transformers, config)(**{**NUMBERS, **changes})
        return getattr(transformers, f"{kind}ForCausalLM")(made).eval()


def gemma3n() -> Any:
    kinds = ["sliding_attention", "full_attention"] * (DEPTH // 2)
    return built(
        "Gemma3n", "Gemma3nTextConfig", vocab_size_per_layer_input=WORDS, hidden_size_per_layer_input=4,
        num_kv_shared_layers=0, laurel_rank=4, activation_sparsity_pattern=[0.0] * DEPTH, layer_types=kinds,
        sliding_window=4,
    )  # fmt: skip


def mamba() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = transformers.MambaConfig(vocab_size=WORDS, hidden_size=16, num_hidden_layers=DEPTH, state_size=4)
        return transformers.MambaForCausalLM(config).eval()


class TestTokens:
    @pytest.mark.parametrize("kind", [torch.int32, torch.int16, torch.int8, torch.uint8, torch.int64])
    def test_all_whole_numbers_are_the_same_tokens(self, kind: torch.dtype) -> None:
        net = built()
        expected = ps.layers.losses(net, IDS)
        for given in (IDS.to(kind), IDS.to(kind).numpy(), IDS.tolist()):
            np.testing.assert_array_equal(ps.layers.losses(net, given).values, expected.values)
        whole, narrow = (ps.layers.distances(net, ids).mean for ids in (IDS, IDS.to(kind)))
        np.testing.assert_array_equal(whole, narrow)

    @pytest.mark.parametrize(("given", "said"), [
        ([[1, 2], [3]], "not of one length"), ([], "give integers"), ([[1.5, 2.0]], "tokens are float64"),
        ([["a", "b"]], "tokens are <U1"), (np.ones((1, 4), dtype=bool), "tokens are bool"),
        (torch.ones(1, 4, dtype=torch.bool), "tokens are torch.bool"), ([[1, 2, -1]], "is 2 or -1"),
        ([[1]], r"shape \(1, 1\)"), ([1, 2, 3], r"shape \(3,\)"), ([[1, WORDS]], "knows 0 to 30"),
    ])  # fmt: skip
    def test_what_is_no_token_is_refused(self, given: Any, said: str) -> None:
        for measure in (ps.layers.losses, ps.layers.distances):
            with pytest.raises(BadInput, match=said):
                measure(built(), given)

    def test_one_string_is_one_text(self) -> None:
        class Letters:
            is_fast = False

            def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
                return {"input_ids": [ord(letter) for letter in text]}

            def decode(self, ids: list[int]) -> str:
                return "".join(map(chr, ids))

        assert ps.layers.samples("abcdef", Letters(), length=3).ids.tolist() == [[97, 98, 99], [100, 101, 102]]
        for empty in ("", []):
            with pytest.raises(BadInput, match="the longest text has 0 tokens"):
                ps.layers.samples(empty, Letters(), length=3)

    def test_a_byte_order_mark_is_no_part_of_a_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("hello", encoding="utf-8-sig")
        (tmp_path / "folder.txt").mkdir()
        assert list(ps.layers.read_texts(tmp_path)) == list(ps.layers.read_texts(str(tmp_path / "a.txt"))) == ["hello"]


class TestModels:
    @pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own
    def test_wrapped_models_are_refused_with_what_to_give(self) -> None:
        peft = pytest.importorskip("peft")
        adapted = peft.get_peft_model(built(), peft.LoraConfig(r=2, target_modules=["q_proj"]))
        for model, said in (
            (adapted, r"merge them first, with model\.merge_and_unload\(\)"),
            (torch.compile(built(), backend="eager"), r"torch\.compile: give model\._orig_mod"),
            (torch.nn.DataParallel(built()), r"give model\.module"),
        ):
            for use in (stack_of, lambda net: ps.layers.losses(net, IDS), lambda net: ps.layers.without(net, 0, 1)):
                with pytest.raises(BadInput, match=said):
                    use(model)
        assert stack_of(adapted.merge_and_unload()).depth == DEPTH

    def test_weights_without_numbers_are_refused(self, tmp_path: Path) -> None:
        with torch.device("meta"):
            empty = built()
        for use in (
            lambda: ps.layers.distances(empty, IDS), lambda: ps.layers.losses(empty, IDS),
            lambda: ps.layers.prune(empty, 0, 1, tmp_path / "out"),
        ):  # fmt: skip
            with pytest.raises(BadInput, match="on the meta device, without numbers"):
                use()

    def test_a_model_whose_base_is_itself(self, tmp_path: Path) -> None:
        """Llama 4's ``base_model`` is the model with its head."""
        net = built(
            "Llama4", "Llama4TextConfig", intermediate_size_mlp=24, num_local_experts=2, interleave_moe_layer_step=2
        )
        assert net.base_model is net and stack_of(net).depth == DEPTH
        assert ps.layers.distances(net, IDS).last.shape == (DEPTH + 1, DEPTH + 1)
        with pytest.raises(BadInput, match="layer 2 can not become layer 1 of 3"):
            ps.layers.without(net, 1, 1)
        shorter = ps.layers.without(net, 2, 2)
        read = type(net).from_pretrained(ps.layers.prune(net, 2, 2, tmp_path / "out")).eval()
        assert torch.equal(read(IDS).logits, shorter(IDS).logits)

    def test_several_states_at_once_have_no_distance(self, tmp_path: Path) -> None:
        net = gemma3n()
        with pytest.raises(BadInput, match=r"states of shape \(4, 3, 10, 16\), for tokens \(3, 10\)"):
            ps.layers.distances(net, IDS)
        with pytest.raises(BadInput, match=r"embed_tokens_per_layer.weight is \(31, 16\) and would be \(31, 12\)"):
            ps.layers.prune(net, 1, 1, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_state_space_mixers_are_not_adapted(self) -> None:
        pytest.importorskip("peft")
        with pytest.raises(BadInput, match="no linear maps outside attention and state-space mixers"):
            ps.layers.heal(mamba(), IDS, 1)
        assert {name.split(".")[-1] for name in mlp_projections(built())} == {"gate_proj", "up_proj", "down_proj"}


class TestNumbers:
    @pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e200])
    def test_angles_and_cosines_do_not_depend_on_the_scale(self, scale: float) -> None:
        vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
        assert angles(vectors * scale)[0].tolist() == pytest.approx([0, 0.25, 1], abs=1e-7)
        assert float(mean_cosine(vectors * scale)) == pytest.approx((-1 + 0) / 3)
        if 1e-40 < scale < 1e38:
            assert float(mean_cosine((vectors * scale).float())) == pytest.approx(-1 / 3, rel=1e-6)

    @pytest.mark.parametrize("scale", [1e-22, 1e22])
    def test_an_inspection_stays_within_its_bounds(self, scale: float) -> None:
        net = torch.nn.Sequential(*(torch.nn.Linear(16, 16, bias=False) for _ in range(4)))
        with torch.no_grad():
            for layer in net:
                torch.nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]
        batch = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 16))).float()
        one, other = (ps.inspect(net, batch * x, blocks=list("0123")) for x in (1.0, scale))
        for row, same in zip(other.rows, one.rows, strict=True):
            assert row.cosine == pytest.approx(same.cosine, abs=1e-6) and abs(row.cosine) <= 1
            assert row.kernel == pytest.approx(same.kernel * scale**2, rel=1e-5)

    def test_float64_models_are_read_in_float64(self) -> None:
        net = built().double()
        logits = net(IDS, use_cache=False).logits[:, :-1].log_softmax(-1)
        expected = -logits.gather(-1, IDS[:, 1:, None]).mean((1, 2)).detach()
        np.testing.assert_allclose(ps.layers.losses(net, IDS).values, expected.numpy(), rtol=1e-13)

    def test_losses_that_are_not_finite_are_refused(self) -> None:
        net = built()
        net.lm_head.weight.data[3] = math.inf
        with pytest.raises(BadInput, match="loses nan nats per token"):
            ps.layers.losses(net, IDS)

    def test_perplexities_of_any_loss(self) -> None:
        for loss, expected in ((0.0, 1.0), (1000.0, math.inf), (math.inf, math.inf)):
            assert ps.layers.Losses(np.array([loss]), 3).perplexity == expected
        assert math.isnan(ps.layers.Losses(np.array([math.nan]), 3).perplexity)


class TestPromise:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_weights_that_are_not_finite_are_not_written(self, tmp_path: Path, bad: float) -> None:
        net = built()
        net.model.layers[3].mlp.down_proj.weight.data[0, 0] = bad
        with pytest.raises(BadInput, match=r"model\.layers\.2\.mlp\.down_proj\.weight .* is not finite"):
            ps.layers.prune(net, 1, 1, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_a_narrower_type_must_hold_them(self, tmp_path: Path) -> None:
        net = built()
        net.lm_head.weight.data[0, 0] = 1e6
        with pytest.raises(BadInput, match=r"lm_head\.weight .* is not finite everywhere as torch\.float16"):
            ps.layers.save(net, tmp_path / "out", dtype=torch.float16)
        assert ps.layers.save(net, tmp_path / "wide", dtype=torch.bfloat16).is_dir()

    def test_what_the_config_does_not_describe_is_not_written(self, tmp_path: Path) -> None:
        peft = pytest.importorskip("peft")
        adapted = built()
        peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["q_proj"]), adapted)
        larger = built()
        larger.model.norm.weight = torch.nn.Parameter(torch.ones(17))
        for net, said in (
            (adapted, "lora_A.* is absent there|base_layer"),
            (larger, r"is \(17,\) here and is \(16,\) there"),
        ):
            with pytest.raises(BadInput, match=said):
                ps.layers.save(net, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_a_cache_that_counts_the_layers_wrongly_is_found(self, tmp_path: Path) -> None:
        shorter = ps.layers.without(built(), 1, 1)
        check_promise(shorter)
        shorter.model.layers[1].self_attn.layer_idx = 2  # the wrong version: the place in the whole model
        shorter.model.layers[2].self_attn.layer_idx = 2
        with pytest.raises(BadInput, match=r"with 3 layers (generates with its cache|can not generate)"):
            ps.layers.save(shorter, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
    def test_rounding_alone_is_no_fault(self, kind: torch.dtype) -> None:
        check_promise(ps.layers.without(built(), 1, 2).to(kind))
        check_promise(mamba())


class TestCommands:
    def asked(self, model: Path, **changes: Any) -> Asked:
        numbers: dict[str, Any] = {"text": None, "samples": 2, "length": 8, "batch": None, "seed": 0, "device": "cpu"}
        return Asked(model, **{**numbers, "tokens": "last", **changes})

    @pytest.mark.parametrize(("changes", "said"), [
        ({"samples": 0}, "samples is 0"), ({"length": 1}, "length 1"), ({"batch": 0}, "batch 0"), ({"seed": -1}, "seed -1"),
    ])  # fmt: skip
    def test_numbers_out_of_range_are_refused_before_anything_is_read(
        self, tmp_path: Path, changes: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(BadInput, match=said):
            layers(self.asked(tmp_path, **changes), scored=0, draws=0, skip=1, tell=lambda _: None)
        with pytest.raises(BadInput, match="skip is 8, and samples have 8"):
            layers(self.asked(tmp_path), scored=0, draws=0, skip=8, tell=lambda _: None)
        for healing, wrong in (
            (Healing(1, 0, 1e-3, 4, False), "rank is 0"),
            (Healing(1, 4, math.nan, 4, False), "rate is nan"),
        ):
            with pytest.raises(BadInput, match=wrong):
                pruned(self.asked(tmp_path), 1, tmp_path / "out", 0, healing, tmp_path / "run", lambda _: None)

    def test_weights_are_written_in_the_type_of_those_read_not_of_the_config(self, tmp_path: Path) -> None:
        net = built()
        net.config.dtype = "float16"
        net.save_pretrained(tmp_path / "model")
        config = (tmp_path / "model" / "config.json").read_text().replace('"float32"', '"float16"')
        (tmp_path / "model" / "config.json").write_text(config)
        tokenizers = pytest.importorskip("tokenizers")
        plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
        transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]").save_pretrained(
            tmp_path / "model"
        )
        out = tmp_path / "out"
        pruned(
            self.asked(tmp_path / "model"), 1, out, 1, Healing(0, 4, 1e-3, 4, False), tmp_path / "run", lambda _: None
        )
        read = transformers.AutoModelForCausalLM.from_pretrained(out, dtype="auto").eval()
        assert read.dtype == torch.float32
        assert torch.equal(read(IDS).logits, ps.layers.without(net, 1, 1)(IDS).logits)
