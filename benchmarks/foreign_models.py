# ruff: noqa: E501  (a row of a table is a line)
"""Models that nobody here wrote, small and with random weights, and what their authors call blocks.

``MODELS``: name -> (function that gives module and batch, the authors' blocks). Blocks are written as ``foreign.pattern``
writes them: names up to numbers, with how many there are; parts of a model, such as encoder and decoder, with ``|``. They
were taken from the classes' code: the modules that it builds in a list or in stages and runs through one by one; of plain
chains without such a list, the weight layers whose outputs are preactivations (all but the last).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Made = tuple[nn.Module, Any]
MODELS: dict[str, tuple[Callable[[], Made], str]] = {}


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def ids(rows: int = 2, length: int = 8, most: int = 90) -> Tensor:
    return torch.randint(1, most, (rows, length), generator=torch.Generator().manual_seed(2))


HOME = importlib.util.find_spec("torchvision")
if HOME is not None and HOME.origin is not None:
    try:
        torch.ops.load_library(str(next(Path(HOME.origin).parent.glob("_C*.so"))))
    except (OSError, StopIteration):  # its compiled operators are for another torch; its networks need none of them
        OPERATORS = torch.library.Library("torchvision", "DEF")
        OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def of(name: str) -> Any:
    """Return ``package.module:attribute``, imported when a model is made."""
    home, _, attribute = name.partition(":")
    return getattr(importlib.import_module(home), attribute)


def add(name: str, made: Callable[[], Made], authors: str) -> None:
    MODELS[name] = made, authors


# -- transformers: config class, model class, sizes, batch -----------------------------------------------------

TEXT = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
GROUPED = {**TEXT, "num_key_value_heads": 2, "head_dim": 8}
PIXELS = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
GPT = {"vocab_size": 99, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64}


def hugging(name: str, model: str, sizes: dict[str, Any], kind: str, authors: str, config: str = "") -> None:
    """Add the transformers class ``model`` with a small config, on tokens, pixels, pairs of texts or sound."""

    def made() -> Made:
        made_of = of(f"transformers:{config or model.split('For')[0].removesuffix('Model') + 'Config'}")(**sizes)
        module = of(f"transformers:{model}")(made_of)
        batches = {
            "ids": lambda: {"input_ids": ids()},
            "pairs": lambda: {"input_ids": ids(), "decoder_input_ids": ids(2, 6)},
            "pixels": lambda: {"pixel_values": noise(2, 3, sizes.get("image_size", 32), sizes.get("image_size", 32))},
            "sound": lambda: {"input_values": noise(2, 800)},
        }
        return module, batches[kind]()

    add(f"hf {name}", made, authors)


for _name, _model, _sizes, _authors in (
    ("Llama", "LlamaForCausalLM", GROUPED, "model.layers.# 4"),
    ("Mistral", "MistralForCausalLM", GROUPED, "model.layers.# 4"),
    ("Qwen2", "Qwen2ForCausalLM", GROUPED, "model.layers.# 4"),
    ("Qwen3", "Qwen3ForCausalLM", GROUPED, "model.layers.# 4"),
    ("Gemma2", "Gemma2ForCausalLM", {**GROUPED, "query_pre_attn_scalar": 8}, "model.layers.# 4"),
    ("Phi3", "Phi3ForCausalLM", {**GROUPED, "pad_token_id": 0}, "model.layers.# 4"),
    ("OLMo2", "Olmo2ForCausalLM", GROUPED, "model.layers.# 4"),
    ("StableLm", "StableLmForCausalLM", GROUPED, "model.layers.# 4"),
    ("Starcoder2", "Starcoder2ForCausalLM", GROUPED, "model.layers.# 4"),
    ("Cohere", "CohereForCausalLM", {**GROUPED, "pad_token_id": 0}, "model.layers.# 4"),
    ("Mixtral", "MixtralForCausalLM", {**GROUPED, "num_local_experts": 4}, "model.layers.# 4"),
    ("Phi", "PhiForCausalLM", TEXT, "model.layers.# 4"),
    ("GPT-NeoX", "GPTNeoXForCausalLM", TEXT, "gpt_neox.layers.# 4"),
    ("GPT2", "GPT2LMHeadModel", GPT, "transformer.h.# 4"),
    ("GPT-J", "GPTJForCausalLM", {**GPT, "rotary_dim": 4}, "transformer.h.# 4"),
    ("CodeGen", "CodeGenForCausalLM", {**GPT, "rotary_dim": 4}, "transformer.h.# 4"),
    ("OPT", "OPTForCausalLM", {**TEXT, "ffn_dim": 64, "word_embed_proj_dim": 32}, "model.decoder.layers.# 4"),
    ("BLOOM", "BloomForCausalLM", {"vocab_size": 99, "hidden_size": 32, "n_layer": 4, "n_head": 4}, "transformer.h.# 4"),
    ("MPT", "MptForCausalLM", {"vocab_size": 99, "d_model": 32, "n_layers": 4, "n_heads": 4}, "transformer.blocks.# 4"),
    ("Falcon", "FalconForCausalLM", TEXT, "transformer.h.# 4"),
    ("Mamba", "MambaForCausalLM", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 4}, "backbone.layers.# 4"),
    ("RWKV", "RwkvForCausalLM", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 4}, "rwkv.blocks.# 4"),
    ("BERT", "BertForMaskedLM", TEXT, "bert.encoder.layer.# 4"),
    ("RoBERTa", "RobertaModel", TEXT, "encoder.layer.# 4"),
    ("ELECTRA", "ElectraModel", TEXT, "encoder.layer.# 4"),
    ("DeBERTa-v2", "DebertaV2Model", {**TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, "encoder.layer.# 4"),
    ("MPNet", "MPNetModel", TEXT, "encoder.layer.# 4"),
    ("ConvBERT", "ConvBertModel", TEXT, "encoder.layer.# 4"),
    ("DistilBERT", "DistilBertModel", {"vocab_size": 99, "dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 64}, "transformer.layer.# 4"),
    ("XLM", "XLMModel", {"vocab_size": 99, "emb_dim": 32, "n_layers": 4, "n_heads": 4}, "ffns.# 4"),
    ("ALBERT", "AlbertModel", {**TEXT, "embedding_size": 16}, "encoder.albert_layer_groups.# 4"),
    ("XLNet", "XLNetModel", {"vocab_size": 99, "d_model": 32, "n_layer": 4, "n_head": 4, "d_inner": 64}, "layer.# 4"),
    ("FNet", "FNetModel", TEXT, "encoder.layer.# 4"),
    ("Nystromformer", "NystromformerModel", {**TEXT, "num_landmarks": 4, "segment_means_seq_len": 8}, "encoder.layer.# 4"),
):  # fmt: skip
    hugging(_name, _model, _sizes, "ids", _authors, {"GPT2LMHeadModel": "GPT2Config"}.get(_model, ""))

hugging("T5 encoder", "T5EncoderModel", {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 4, "num_heads": 4}, "ids", "encoder.block.# 4", "T5Config")  # fmt: skip
hugging("T5", "T5ForConditionalGeneration", {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 4, "num_heads": 4}, "pairs", "encoder.block.# 4 | decoder.block.# 4")  # fmt: skip
_BART = {
    "vocab_size": 99, "d_model": 32, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
}  # fmt: skip
hugging("BART", "BartForConditionalGeneration", _BART, "pairs", "model.encoder.layers.# 4 | model.decoder.layers.# 4")
hugging("Pegasus", "PegasusModel", _BART, "pairs", "encoder.layers.# 4 | decoder.layers.# 4")
hugging("Marian", "MarianModel", {**_BART, "pad_token_id": 0, "decoder_vocab_size": 99}, "pairs", "encoder.layers.# 4 | decoder.layers.# 4")  # fmt: skip
for _name, _model, _sizes, _authors in (
    ("ViT", "ViTModel", PIXELS, "layers.# 4"),
    ("DeiT", "DeiTModel", PIXELS, "layers.# 4"),
    ("BEiT", "BeitModel", {**PIXELS, "vocab_size": 99}, "layers.# 4"),
    ("DINOv2", "Dinov2Model", {**PIXELS, "mlp_ratio": 2}, "encoder.layer.# 4"),
    ("SigLIP vision", "SiglipVisionModel", PIXELS, "encoder.layers.# 4"),
    ("CLIP vision", "CLIPVisionModel", PIXELS, "encoder.layers.# 4"),
    ("Swin", "SwinModel", {"image_size": 64, "patch_size": 4, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}, "encoder.layers.#.blocks.# 4"),
    ("ConvNeXt", "ConvNextModel", {"hidden_sizes": [16, 24, 32, 40], "depths": [2, 2, 2, 2]}, "encoder.stages.#.layers.# 8"),
    ("ResNet", "ResNetModel", {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 40], "depths": [2, 2, 2, 2], "image_size": 64}, "encoder.stages.#.layers.# 8"),
    ("Segformer", "SegformerModel", {"hidden_sizes": [16, 24, 32, 40], "num_attention_heads": [1, 2, 2, 4], "image_size": 64}, "stages.#.blocks.# 8"),
    ("RegNet", "RegNetModel", {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 40], "depths": [2, 2, 2, 2], "groups_width": 8, "image_size": 64}, "encoder.stages.#.layers.# 8"),
):  # fmt: skip
    hugging(_name, _model, _sizes, "pixels", _authors)
hugging("Wav2Vec2", "Wav2Vec2Model", {**TEXT, "conv_dim": [16] * 3, "conv_kernel": [5, 3, 3], "conv_stride": [3, 2, 2], "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}, "sound", "encoder.layers.# 4")  # fmt: skip
hugging("HuBERT", "HubertModel", {**TEXT, "conv_dim": [16] * 3, "conv_kernel": [5, 3, 3], "conv_stride": [3, 2, 2], "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}, "sound", "encoder.layers.# 4")  # fmt: skip


def whisper() -> Made:
    config = of("transformers:WhisperConfig")(**{**_BART, "vocab_size": 99, "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1})  # fmt: skip
    return of("transformers:WhisperModel")(config), {"input_features": noise(2, 8, 20), "decoder_input_ids": ids(2, 6)}


def clip() -> Made:
    config = of("transformers:CLIPConfig")(
        text_config={**TEXT, "eos_token_id": 98}, vision_config=PIXELS, projection_dim=16
    )
    return of("transformers:CLIPModel")(config), {"input_ids": ids(), "pixel_values": noise(2, 3, 32, 32)}


def patchtst() -> Made:
    config = of("transformers:PatchTSTConfig")(num_input_channels=2, context_length=32, patch_length=4, patch_stride=4, d_model=16, num_hidden_layers=4, num_attention_heads=4, ffn_dim=32)  # fmt: skip
    return of("transformers:PatchTSTModel")(config), {"past_values": noise(2, 32, 2)}


def gradient_checkpointed() -> Made:
    module, batch = MODELS["hf Llama"][0]()
    module.gradient_checkpointing_enable()  # type: ignore[operator]
    return module, batch


def lora() -> Made:
    module, batch = MODELS["hf Llama"][0]()
    config = of("peft:LoraConfig")(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return of("peft:get_peft_model")(module, config), batch


add("hf Whisper", whisper, "encoder.layers.# 4 | decoder.layers.# 4")
add("hf CLIP", clip, "vision_model.encoder.layers.# 4 | text_model.encoder.layers.# 4")
add("hf PatchTST", patchtst, "encoder.layers.# 4")
add("hf Llama, gradient checkpointing", gradient_checkpointed, "model.layers.# 4")
add("hf Llama with LoRA (peft)", lora, "base_model.model.model.layers.# 4")

# -- timm and torchvision: names and sizes ---------------------------------------------------------------------


def timm(name: str, authors: str, size: int = 64, **sizes: Any) -> None:
    add(f"timm {name}", lambda: (of("timm:create_model")(name, **sizes), noise(2, 3, size, size)), authors)


for _name, _authors, _size, _sizes in (
    ("resnet18", "layer#.# 8", 64, {}),
    ("resnet26d", "layer#.# 8", 64, {}),
    ("seresnet18", "layer#.# 8", 64, {}),
    ("res2net50_26w_4s", "layer#.# 16", 64, {}),
    ("regnetx_002", "s#.b# 13", 64, {}),
    ("densenet121", "features.denseblock# 4", 64, {}),
    ("efficientnet_b0", "blocks.#.# 16", 64, {}),
    ("mobilenetv3_small_050", "blocks.#.# 12", 64, {}),
    ("mobilenetv2_050", "blocks.#.# 17", 64, {}),
    ("mobilenetv1_100", "blocks.#.# 13", 64, {}),
    ("ghostnet_050", "blocks.#.# 17", 64, {}),
    ("mixnet_s", "blocks.#.# 16", 64, {}),
    ("convnext_atto", "stages.#.blocks.# 12", 64, {}),
    ("convnextv2_atto", "stages.#.blocks.# 12", 64, {}),
    ("nf_resnet26", "stages.#.# 8", 64, {}),
    ("vgg11", "features.# 8 + pre_logits.fc# 2", 64, {}),
    ("inception_v3", "Mixed_# 11", 96, {}),
    ("vit_tiny_patch16_224", "blocks.# 4", 32, {"img_size": 32, "embed_dim": 48, "depth": 4}),
    ("deit3_small_patch16_224", "blocks.# 4", 32, {"img_size": 32, "embed_dim": 48, "depth": 4, "num_heads": 3}),
    ("beit_base_patch16_224", "blocks.# 4", 32, {"img_size": 32, "embed_dim": 48, "depth": 4, "num_heads": 3}),
    ("eva02_tiny_patch14_224", "blocks.# 4", 28, {"img_size": 28, "embed_dim": 48, "depth": 4, "num_heads": 3}),
    ("cait_xxs24_224", "blocks.# 4 | blocks_token_only.# 2", 32, {"img_size": 32, "embed_dim": 48, "depth": 4, "num_heads": 3}),
    ("xcit_nano_12_p16_224", "blocks.# 4 + cls_attn_blocks.# 2", 32, {"img_size": 32, "embed_dim": 48, "depth": 4, "num_heads": 3}),
    ("swin_tiny_patch4_window7_224", "layers.#.blocks.# 4", 56, {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}),
    ("swinv2_tiny_window8_256", "layers.#.blocks.# 4", 64, {"img_size": 64, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}),
    ("poolformer_s12", "stages.#.blocks.# 12", 64, {}),
    ("pvt_v2_b0", "stages.#.blocks.# 8", 64, {}),
    ("twins_svt_small", "blocks.#.# 18", 224, {}),
    ("levit_128s", "stages.#.blocks.# 9", 224, {}),
    ("mobilevit_xxs", "stages.#.# 10", 64, {}),
    ("coatnet_nano_rw_224", "stages.#.blocks.# 16", 224, {}),
    ("maxvit_pico_rw_256", "stages.#.blocks.# 11", 256, {}),
    ("edgenext_xx_small", "stages.#.blocks.# 12", 64, {}),
    ("focalnet_tiny_srf", "layers.#.blocks.# 12", 64, {}),
    ("hrnet_w18_small", "stage#.# 7", 64, {}),
    ("dla34", "level# 6", 64, {}),
    ("crossvit_tiny_240", "blocks.# 3", 240, {}),
):  # fmt: skip
    timm(_name, _authors, _size, **_sizes)

add(
    "timm ConvMixer",
    lambda: (of("timm.models.convmixer:ConvMixer")(dim=32, depth=8), noise(2, 3, 56, 56)),
    "blocks.# 8",
)
for _name, _layer, _mixer in (
    ("MLP-Mixer", "MixerBlock", "Mlp"),
    ("gMLP", "SpatialGatingBlock", "GatedMlp"),
    ("ResMLP", "ResBlock", "Mlp"),
):

    def _mixed(layer: str = _layer, mlp: str = _mixer) -> Made:
        sizes: dict[str, Any] = {
            "mlp_layer": of(f"timm.layers:{mlp}"),
            "mlp_ratio": (0.5, 4.0) if layer == "MixerBlock" else 4,
        }
        kind = of(f"timm.models.mlp_mixer:{layer}")
        return of("timm.models.mlp_mixer:MlpMixer")(
            img_size=32, patch_size=8, embed_dim=48, num_blocks=4, block_layer=kind, **sizes
        ), noise(2, 3, 32, 32)

    add(f"timm {_name}", _mixed, "blocks.# 4")
add("timm resnet18, features_only", lambda: (of("timm:create_model")("resnet18", features_only=True), noise(2, 3, 64, 64)), "layer#.# 8")  # fmt: skip


def timm_checkpointed() -> Made:
    module = of("timm:create_model")("vit_tiny_patch16_224", img_size=32, embed_dim=48, depth=4)
    module.set_grad_checkpointing(True)
    return module, noise(2, 3, 32, 32)


add("timm vit_tiny, gradient checkpointing", timm_checkpointed, "blocks.# 4")
for _name, _authors in (
    ("alexnet", "features.# 5 + classifier.# 2"),
    ("vgg11_bn", "features.# 8 + classifier.# 2"),
    ("resnet50", "layer#.# 16"),
    ("googlenet", "inception# 9"),
    ("squeezenet1_1", "features.# 8"),
    ("shufflenet_v2_x0_5", "stage#.# 16"),
    ("mnasnet0_5", "layers.#.# 16"),
    ("mobilenet_v3_small", "features.# 11"),
    ("efficientnet_b0", "features.#.# 16"),
    ("convnext_tiny", "features.#.# 18"),
    ("vit_b_32", "encoder.layers.encoder_layer_# 12"),
    ("swin_t", "features.#.# 12"),
):
    add(f"torchvision {_name}", lambda name=_name: (of(f"torchvision.models:{name}")(), noise(2, 3, 64 if "vit" not in name else 224, 64 if "vit" not in name else 224)), _authors)  # fmt: skip
add("torchvision fcn_resnet50", lambda: (of("torchvision.models.segmentation:fcn_resnet50")(weights_backbone=None), noise(2, 3, 64, 64)), "backbone.layer#.# 16")  # fmt: skip

# -- lucidrains' packages --------------------------------------------------------------------------------------

SEEN = {"image_size": 32, "patch_size": 8, "num_classes": 5, "dim": 32, "depth": 4, "heads": 2, "mlp_dim": 64}


def plain(name: str, made_of: str, sizes: dict[str, Any], batch: Callable[[], Any], authors: str) -> None:
    """Add a class that is made with ``sizes``."""
    add(name, lambda: (of(made_of)(**sizes), batch()), authors)


def image() -> Tensor:
    return noise(2, 3, 32, 32)


for _name, _made_of, _sizes, _authors in (
    ("ViT", "vit_pytorch:ViT", SEEN, "transformer.layers.# 4"),
    ("SimpleViT", "vit_pytorch:SimpleViT", SEEN, "transformer.layers.# 4"),
    ("DeepViT", "vit_pytorch.deepvit:DeepViT", SEEN, "transformer.layers.# 4"),
    ("CaiT", "vit_pytorch.cait:CaiT", {**SEEN, "cls_depth": 2}, "patch_transformer.layers.# 4 | cls_transformer.layers.# 2"),
    ("ParallelViT", "vit_pytorch.parallel_vit:ViT", SEEN, "transformer.layers.# 4"),
    ("ViT small data", "vit_pytorch.vit_for_small_dataset:ViT", SEEN, "transformer.layers.# 4"),
    ("CCT", "vit_pytorch.cct:CCT", {"img_size": 32, "embedding_dim": 32, "num_layers": 4, "num_heads": 2, "mlp_ratio": 2, "num_classes": 5, "n_conv_layers": 1, "kernel_size": 3, "stride": 2, "padding": 1, "pooling_kernel_size": 3, "pooling_stride": 2, "pooling_padding": 1}, "classifier.blocks.# 4"),
    ("NesT", "vit_pytorch.nest:NesT", {"image_size": 32, "patch_size": 4, "dim": 16, "heads": 2, "num_hierarchies": 3, "block_repeats": (2, 2, 2), "num_classes": 5}, "layers.#.#.layers.# 6"),
    ("CvT", "vit_pytorch.cvt:CvT", {"num_classes": 5, "s1_emb_dim": 16, "s1_depth": 2, "s1_heads": 1, "s2_emb_dim": 24, "s2_depth": 2, "s2_heads": 2, "s3_emb_dim": 32, "s3_depth": 2, "s3_heads": 2}, "layers.#.#.layers.# 6"),
    ("T2T", "vit_pytorch.t2t:T2TViT", {"image_size": 32, "dim": 32, "depth": 4, "heads": 2, "mlp_dim": 64, "num_classes": 5}, "transformer.layers.# 4"),
    ("PiT", "vit_pytorch.pit:PiT", {"image_size": 32, "patch_size": 8, "dim": 32, "depth": (2, 2), "heads": 2, "mlp_dim": 64, "num_classes": 5}, "layers.#.layers.# 4"),
):  # fmt: skip
    plain(f"vit-pytorch {_name}", _made_of, _sizes, image, _authors)


def x_transformers(wrapped: str, layers: str, **sizes: Any) -> Callable[[], Made]:
    def made() -> Made:
        inner = of(f"x_transformers:{layers}")(dim=32, depth=4, heads=2, **sizes)
        if wrapped == "ViTransformerWrapper":
            return of(f"x_transformers:{wrapped}")(image_size=32, patch_size=8, attn_layers=inner), image()
        return of(f"x_transformers:{wrapped}")(num_tokens=99, max_seq_len=32, attn_layers=inner), ids()

    return made


add("x-transformers decoder", x_transformers("TransformerWrapper", "Decoder"), "attn_layers.layers.# 8")
add(
    "x-transformers decoder, rotary, GLU, RMSNorm",
    x_transformers("TransformerWrapper", "Decoder", rotary_pos_emb=True, ff_glu=True, use_rmsnorm=True),
    "attn_layers.layers.# 8",
)
add("x-transformers encoder", x_transformers("TransformerWrapper", "Encoder"), "attn_layers.layers.# 8")
add("x-transformers ViT", x_transformers("ViTransformerWrapper", "Encoder"), "attn_layers.layers.# 8")
plain(
    "x-transformers encoder alone",
    "x_transformers:Encoder",
    {"dim": 32, "depth": 4, "heads": 2},
    lambda: noise(2, 8, 32),
    "layers.# 8",
)
plain(
    "performer-pytorch",
    "performer_pytorch:PerformerLM",
    {"num_tokens": 99, "max_seq_len": 32, "dim": 32, "depth": 4, "heads": 2, "dim_head": 16},
    ids,
    "performer.net.layers.# 4",
)
plain(
    "linformer",
    "linformer:LinformerLM",
    {"num_tokens": 99, "dim": 32, "seq_len": 8, "depth": 4, "heads": 2, "k": 4},
    ids,
    "linformer.net.layers.# 4",
)
plain("g-mlp-pytorch", "g_mlp_pytorch:gMLP", {"num_tokens": 99, "dim": 32, "depth": 4, "seq_len": 8}, ids, "layers.# 4")
plain(
    "g-mlp-pytorch vision",
    "g_mlp_pytorch:gMLPVision",
    {"image_size": 32, "patch_size": 8, "dim": 32, "depth": 4, "num_classes": 5},
    image,
    "layers.# 4",
)
plain(
    "mlp-mixer-pytorch",
    "mlp_mixer_pytorch:MLPMixer",
    {"image_size": 32, "channels": 3, "patch_size": 8, "dim": 32, "depth": 4, "num_classes": 5},
    image,
    "# 4",
)
plain(
    "perceiver-pytorch",
    "perceiver_pytorch:Perceiver",
    {
        "num_freq_bands": 2,
        "depth": 4,
        "max_freq": 4.0,
        "input_channels": 3,
        "latent_dim": 32,
        "num_latents": 8,
        "latent_heads": 2,
        "num_classes": 5,
    },
    lambda: noise(2, 8, 8, 3),
    "layers.# 4",
)
plain(
    "conformer",
    "conformer:Conformer",
    {"dim": 32, "depth": 4, "heads": 2, "dim_head": 16},
    lambda: noise(2, 8, 32),
    "layers.# 4",
)
plain(
    "tab-transformer-pytorch FT",
    "tab_transformer_pytorch:FTTransformer",
    {"categories": (4, 5), "num_continuous": 3, "dim": 32, "depth": 4, "heads": 2},
    lambda: (ids(2, 2, 4), noise(2, 3)),
    "transformer.layers.# 4",
)
plain(
    "tab-transformer-pytorch",
    "tab_transformer_pytorch:TabTransformer",
    {"categories": (4, 5), "num_continuous": 3, "dim": 32, "depth": 4, "heads": 2, "dim_out": 1, "mlp_act": nn.ReLU()},
    lambda: (ids(2, 2, 4), noise(2, 3)),
    "transformer.layers.# 4",
)
plain(
    "siren-pytorch",
    "siren_pytorch:SirenNet",
    {"dim_in": 2, "dim_hidden": 32, "dim_out": 3, "num_layers": 5},
    lambda: noise(16, 2),
    "layers.# 5",
)
plain(
    "egnn-pytorch",
    "egnn_pytorch:EGNN_Network",
    {"num_tokens": 21, "num_positions": 16, "dim": 32, "depth": 3, "num_nearest_neighbors": 4},
    lambda: (ids(1, 16, 20), noise(1, 16, 3)),
    "layers.# 3",
)
plain(
    "denoising-diffusion Unet",
    "denoising_diffusion_pytorch:Unet",
    {"dim": 16, "dim_mults": (1, 2, 4)},
    lambda: (image(), ids(1, 2)[0]),
    "downs.# 3 | ups.# 3",
)
plain(
    "local-attention",
    "local_attention:LocalTransformer",
    {"num_tokens": 99, "dim": 32, "depth": 4, "max_seq_len": 16, "local_attn_window_size": 4, "causal": True},
    lambda: ids(2, 16),
    "layers.# 4",
)

# -- graphs, states, flows, tables, operators, diffusion -------------------------------------------------------


def graph(layer: Callable[[], nn.Module], *, edges: bool = True) -> Callable[[], Made]:
    return lambda: (layer(), (noise(12, 16), torch.stack([torch.arange(12), (torch.arange(12) * 5 + 1) % 12])))


for _name, _class in (
    ("GCN", "GCN"),
    ("GraphSAGE", "GraphSAGE"),
    ("GIN", "GIN"),
    ("GAT", "GAT"),
    ("EdgeCNN", "EdgeCNN"),
):
    add(f"pyg {_name}", graph(lambda c=_class: of(f"torch_geometric.nn:{c}")(16, 16, num_layers=5)), "convs.# 5")  # type: ignore[misc]


def deep_gcn() -> nn.Module:
    layer, conv = of("torch_geometric.nn:DeepGCNLayer"), of("torch_geometric.nn:GENConv")

    class Net(nn.Module):  # the example of the package's documentation
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.lin = nn.Linear(16, 16), nn.Linear(16, 3)
            self.layers = nn.ModuleList(
                layer(conv(16, 16, num_layers=2), nn.LayerNorm(16), nn.ReLU()) for _ in range(4)
            )

        def forward(self, x: Tensor, edges: Tensor) -> Any:
            x = self.encoder(x)
            for one in self.layers:
                x = one(x, edges)
            return self.lin(x)

    return Net()


add("pyg DeepGCN", graph(deep_gcn), "layers.# 4")


def flow(name: str) -> Callable[[], Made]:
    def made() -> Made:
        import nflows.transforms as t

        inner = [t.MaskedAffineAutoregressiveTransform(features=4, hidden_features=16) for _ in range(4)]
        return t.CompositeTransform(inner), noise(16, 4)

    return made


add("nflows MAF transform", flow("maf"), "_transforms.# 4")
plain("normflows RealNVP", "normflows.nets:MLP", {"layers": [4, 32, 32, 32, 4]}, lambda: noise(16, 4), "net.# 3")
add(
    "mambapy",
    lambda: (of("mambapy.mamba:Mamba")(of("mambapy.mamba:MambaConfig")(d_model=32, n_layers=4)), noise(2, 8, 32)),
    "layers.# 4",
)
plain(
    "rtdl MLP",
    "rtdl_revisiting_models:MLP",
    {"d_in": 8, "d_out": 1, "n_blocks": 5, "d_block": 32, "dropout": 0.1},
    lambda: noise(16, 8),
    "blocks.# 5",
)
plain(
    "rtdl ResNet",
    "rtdl_revisiting_models:ResNet",
    {
        "d_in": 8,
        "d_out": 1,
        "n_blocks": 4,
        "d_block": 32,
        "d_hidden": None,
        "d_hidden_multiplier": 2.0,
        "dropout1": 0.1,
        "dropout2": 0.1,
    },
    lambda: noise(16, 8),
    "blocks.# 4",
)
add(
    "rtdl FT-Transformer",
    lambda: (
        of("rtdl_revisiting_models:FTTransformer")(
            n_cont_features=4,
            cat_cardinalities=[3],
            d_out=1,
            n_blocks=4,
            d_block=32,
            attention_n_heads=4,
            attention_dropout=0.1,
            ffn_d_hidden=None,
            ffn_d_hidden_multiplier=2.0,
            ffn_dropout=0.1,
            residual_dropout=0.0,
        ),
        (noise(4, 4), ids(4, 1, 3)),
    ),
    "backbone.blocks.# 4",
)
plain(
    "neuraloperator FNO",
    "neuralop.models:FNO",
    {"n_modes": (4, 4), "hidden_channels": 8, "in_channels": 1, "out_channels": 1, "n_layers": 4},
    lambda: noise(2, 1, 16, 16),
    "fno_blocks 4",
)
plain(
    "deepxde FNN",
    "deepxde.nn.pytorch:FNN",
    {"layer_sizes": [2, 32, 32, 32, 32, 1], "activation": "tanh", "kernel_initializer": "Glorot normal"},
    lambda: noise(16, 2),
    "linears.# 4",
)
plain(
    "diffusers DiT",
    "diffusers:DiTTransformer2DModel",
    {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 4,
        "sample_size": 8,
        "patch_size": 2,
        "num_embeds_ada_norm": 10,
    },
    lambda: {"hidden_states": noise(2, 4, 8, 8), "timestep": ids(1, 2)[0], "class_labels": ids(1, 2, 9)[0]},
    "transformer_blocks.# 4",
)
plain(
    "diffusers UNet2D",
    "diffusers:UNet2DModel",
    {
        "sample_size": 32,
        "block_out_channels": (16, 32, 32),
        "down_block_types": ("DownBlock2D",) * 3,
        "up_block_types": ("UpBlock2D",) * 3,
        "layers_per_block": 1,
        "norm_num_groups": 8,
    },
    lambda: (image(), 3),
    "down_blocks.# 3 | up_blocks.# 3",
)
plain(
    "diffusers AutoencoderKL",
    "diffusers:AutoencoderKL",
    {
        "block_out_channels": (16, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 8,
        "layers_per_block": 1,
    },
    image,
    "encoder.down_blocks.#.resnets.# 2 + encoder.mid_block.resnets.# 2 + decoder.mid_block.resnets.# 2 + decoder.up_blocks.#.resnets.# 4",
)
plain(
    "open_clip visual",
    "open_clip.transformer:VisionTransformer",
    {"image_size": 32, "patch_size": 8, "width": 32, "layers": 4, "heads": 2, "mlp_ratio": 2.0, "output_dim": 16},
    image,
    "transformer.resblocks.# 4",
)
plain(
    "smp Unet",
    "segmentation_models_pytorch:Unet",
    {"encoder_name": "resnet18", "encoder_weights": None},
    lambda: noise(2, 3, 64, 64),
    "encoder.layer#.# 8 | decoder.blocks.# 5",
)
plain(
    "smp FPN",
    "segmentation_models_pytorch:FPN",
    {"encoder_name": "resnet18", "encoder_weights": None},
    lambda: noise(2, 3, 64, 64),
    "encoder.layer#.# 8",
)
plain(
    "monai UNet",
    "monai.networks.nets:UNet",
    {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": (8, 16, 32), "strides": (2, 2)},
    lambda: noise(2, 1, 32, 32),
    "model.# 3",
)
plain(
    "monai ViT",
    "monai.networks.nets:ViT",
    {
        "in_channels": 1,
        "img_size": (16, 16),
        "patch_size": (4, 4),
        "hidden_size": 32,
        "mlp_dim": 64,
        "num_layers": 4,
        "num_heads": 4,
        "spatial_dims": 2,
    },
    lambda: noise(2, 1, 16, 16),
    "blocks.# 4",
)

# -- torch itself ----------------------------------------------------------------------------------------------


def torch_transformer(first: bool) -> Callable[[], Made]:
    def made() -> Made:
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=first)
        return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), noise(2, 8, 32)

    return made


add("torch TransformerEncoder", torch_transformer(False), "layers.# 4")
add("torch TransformerEncoder, norm first", torch_transformer(True), "layers.# 4")
plain(
    "torch Transformer",
    "torch.nn:Transformer",
    {
        "d_model": 32,
        "nhead": 4,
        "num_encoder_layers": 3,
        "num_decoder_layers": 3,
        "dim_feedforward": 64,
        "batch_first": True,
    },
    lambda: (noise(2, 8, 32), noise(2, 6, 32)),
    "encoder.layers.# 3 | decoder.layers.# 3",
)
