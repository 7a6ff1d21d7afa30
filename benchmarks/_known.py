# ruff: noqa: E501  (a table, one row a line)
"""Twenty networks known to train well as their authors begin them, and twenty known not to; at reduced width.

The lists were fixed before anything was measured on them. Good ones are built by ``transformers`` from configurations of
their own defaults for everything but size, or written here as published. Each entry makes a network and a batch: noise of
16 images of 64 x 64 pixels, 8 rows of 32 tokens, or 64 vectors. Batch normalization is in training mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn
from torch.nn import functional

Case = tuple[nn.Module, Any]


def images(net: nn.Module) -> Case:
    return net, {"pixel_values": torch.randn(16, 3, 64, 64)}


def tokens(net: nn.Module) -> Case:
    return net, {"input_ids": torch.randint(1, 90, (8, 32))}


def vectors(net: nn.Module, width: int = 64) -> Case:
    return net, torch.randn(64, width)


def pictures(net: nn.Module) -> Case:
    return net, torch.randn(16, 3, 32, 32)


TEXT = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 12, "num_attention_heads": 4}
WIDE = {**TEXT, "intermediate_size": 256}
SIGHT = {"hidden_size": 64, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 256}
VISION = {**SIGHT, "image_size": 64, "patch_size": 8}


def llama(**more: Any) -> nn.Module:
    return hf.LlamaModel(hf.LlamaConfig(**{**WIDE, "num_key_value_heads": 2, **more}))


def gpt2(**more: Any) -> nn.Module:
    return hf.GPT2Model(hf.GPT2Config(**{"vocab_size": 100, "n_embd": 64, "n_layer": 12, "n_head": 4, **more}))


def vit() -> nn.Module:
    return hf.ViTModel(hf.ViTConfig(**VISION))


def resnet(kind: str, depths: list[int]) -> nn.Module:
    sizes = [32, 64, 128, 256] if kind == "bottleneck" else [16, 32, 64, 128]
    return hf.ResNetModel(hf.ResNetConfig(embedding_size=16, hidden_sizes=sizes, depths=depths, layer_type=kind))


class Dense(nn.Module):
    """A layer of DenseNet: what it makes is appended to what it was given."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.n1, self.c1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.n2, self.c2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        new = self.c1(functional.relu(self.n1(h)))
        return torch.cat([h, self.c2(functional.relu(self.n2(new)))], 1)


def densenet() -> nn.Module:
    """Huang et al. 2017 for small pictures: three dense blocks of eight layers, growth 8, He's weights."""
    parts: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False)]
    width = 16
    for stage in range(3):
        for _ in range(8):
            parts.append(Dense(width, 8))
            width += 8
        if stage < 2:
            parts.append(
                nn.Sequential(
                    nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)
                )
            )
            width //= 2
    head = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
    return begun(nn.Sequential(*parts, *head), "he")


def begun(net: nn.Module, way: str, factor: float = 1.0) -> nn.Module:
    """Draw all weights by He's or Xavier's rule with zero biases, or leave torch's default; times ``factor``."""
    for part in net.modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and way != "torch":
            (nn.init.kaiming_normal_ if way == "he" else nn.init.xavier_normal_)(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return times(net, factor)


def times(net: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() > 1:
                weight.mul_(factor)
    return net


def without(net: nn.Module, *words: str) -> nn.Module:
    """Replace every normalization, a module whose class is called so, by nothing."""
    for part in list(net.modules()):
        for name, child in list(part.named_children()):
            if any(word in type(child).__name__ for word in words):
                setattr(part, name, nn.Identity())
    return net


def shifted(net: nn.Module, bias: float) -> nn.Module:
    """Set all biases: far below zero they kill ReLU units."""
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
                part.bias.fill_(bias)
    return net


def mlp(depth: int, act: type[nn.Module], norm: type[nn.Module] | None = None, width: int = 64) -> nn.Module:
    one = [lambda: nn.Linear(width, width), *([lambda: norm(width)] if norm else []), act]
    return nn.Sequential(*(make() for _ in range(depth) for make in one), nn.Linear(width, 10))


def vgg(norm: bool, pairs: int = 5, width: int = 32) -> nn.Module:
    parts: list[nn.Module] = []
    for i in range(2 * pairs):
        parts.append(nn.Conv2d(3 if i == 0 else width, width, 3, padding=1))
        parts += [*([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]
        if i in (2, 5):
            parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


class Branch(nn.Module):
    """h + W2 relu(W1 h), without a normalization."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.down(functional.relu(self.up(h)))


def residual(depth: int, width: int = 64) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), *(Branch(width) for _ in range(depth)), nn.Linear(width, 10))


GOOD: dict[str, Callable[[], Case]] = {
    "ResNet-18": lambda: images(resnet("basic", [2, 2, 2, 2])),
    "ResNet-50": lambda: images(resnet("bottleneck", [3, 4, 6, 3])),
    "RegNet": lambda: images(hf.RegNetModel(hf.RegNetConfig(embedding_size=16, hidden_sizes=[32, 64, 96, 128], depths=[1, 2, 4, 2], groups_width=16))),
    "EfficientNet-B0": lambda: images(hf.EfficientNetModel(hf.EfficientNetConfig(image_size=64, width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280))),
    "MobileNetV2": lambda: images(hf.MobileNetV2Model(hf.MobileNetV2Config(image_size=64, depth_multiplier=0.5))),
    "ConvNeXt": lambda: images(hf.ConvNextModel(hf.ConvNextConfig(hidden_sizes=[24, 48, 96, 192], depths=[2, 2, 6, 2]))),
    "DenseNet": lambda: pictures(densenet()),
    "VGG with batch normalization": lambda: pictures(begun(vgg(True), "he")),
    "He MLP, 20 layers": lambda: vectors(begun(mlp(20, nn.ReLU), "he")),
    "ViT": lambda: images(vit()),
    "Swin": lambda: images(hf.SwinModel(hf.SwinConfig(image_size=64, patch_size=4, embed_dim=24, depths=[2, 2, 2], num_heads=[2, 4, 8], window_size=4))),
    "CLIP, vision": lambda: images(hf.CLIPVisionModel(hf.CLIPVisionConfig(**VISION))),
    "BERT": lambda: tokens(hf.BertModel(hf.BertConfig(**WIDE))),
    "GPT-2": lambda: tokens(gpt2()),
    "GPT-NeoX": lambda: tokens(hf.GPTNeoXModel(hf.GPTNeoXConfig(**WIDE))),
    "Llama": lambda: tokens(llama()),
    "Gemma 2": lambda: tokens(hf.Gemma2Model(hf.Gemma2Config(**{**WIDE, "num_key_value_heads": 2, "head_dim": 16}))),
    "Qwen 2": lambda: tokens(hf.Qwen2Model(hf.Qwen2Config(**{**WIDE, "num_key_value_heads": 2}))),
    "T5 encoder": lambda: tokens(hf.T5EncoderModel(hf.T5Config(vocab_size=100, d_model=64, d_kv=16, d_ff=256, num_layers=8, num_heads=4))),
    "Mamba": lambda: tokens(hf.MambaModel(hf.MambaConfig(vocab_size=100, hidden_size=64, num_hidden_layers=8))),
}  # fmt: skip

BAD: dict[str, Callable[[], Case]] = {
    "He MLP, 20 layers, weights x 3": lambda: vectors(begun(mlp(20, nn.ReLU), "he", 3)),
    "He MLP, 20 layers, weights / 3": lambda: vectors(begun(mlp(20, nn.ReLU), "he", 1 / 3)),
    "tanh MLP, 20 layers, weights x 3": lambda: vectors(begun(mlp(20, nn.Tanh), "xavier", 3)),
    "tanh MLP, 20 layers, weights / 3": lambda: vectors(begun(mlp(20, nn.Tanh), "xavier", 1 / 3)),
    "SELU MLP, 20 layers, weights x 3": lambda: vectors(begun(mlp(20, nn.SELU), "xavier", 3)),
    "VGG without normalization, weights x 3": lambda: pictures(begun(vgg(False), "he", 3)),
    "VGG without normalization, weights / 3": lambda: pictures(begun(vgg(False), "he", 1 / 3)),
    "ReLU MLP, 60 layers, torch's weights": lambda: vectors(mlp(60, nn.ReLU)),
    "GELU MLP, 60 layers, torch's weights": lambda: vectors(mlp(60, nn.GELU)),
    "BatchNorm MLP, 60 layers, no skip": lambda: vectors(mlp(60, nn.ReLU, nn.BatchNorm1d)),
    "CNN, 60 layers, no skip, torch's weights": lambda: pictures(vgg(False, 30, 8)),
    "BatchNorm CNN, 60 layers, no skip": lambda: pictures(begun(vgg(True, 30, 8), "he")),
    "residual MLP, 20 blocks, no normalization, He": lambda: vectors(begun(residual(20), "he")),
    "ResNet-50 without its normalizations": lambda: images(without(resnet("bottleneck", [3, 4, 6, 3]), "BatchNorm")),
    "VGG of torch's weights without its normalizations": lambda: pictures(vgg(False)),
    "GPT-2 without its normalizations, weights x 3": lambda: tokens(times(without(gpt2(), "LayerNorm"), 3)),
    "Llama without its normalizations, weights x 5": lambda: tokens(times(without(llama(), "RMSNorm"), 5)),
    "ViT without its normalizations, weights x 3": lambda: images(times(without(vit(), "LayerNorm"), 3)),
    "He MLP, 20 layers, dead units": lambda: vectors(shifted(begun(mlp(20, nn.ReLU), "he"), -2.0)),
    "VGG without normalization, dead units": lambda: pictures(shifted(begun(vgg(False), "he"), -2.0)),
}  # fmt: skip
