# ruff: noqa: E501  (a table, one row a line)
"""Thirty named architectures for digits of 8 x 8 pixels, small enough that a hundred steps take seconds.

Of each: how its weights begin, whether that is known to be bad, and the optimizer that people use for its kind. The list
was fixed before anything was measured on it. Inputs are (B, 64); outputs are logits (B, 10). Weights are torch's own
defaults where nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Architecture:
    """``bad``: weights known to be bad as they begin. ``kind``: "normalized", "zero gamma", "transformer", or plain."""

    name: str
    make: Callable[[], nn.Module]
    optimizer: str
    kind: str = "plain"
    bad: bool = False


class Image(nn.Module):
    """(B, 64) -> (B, 1, 8, 8)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, 1, 8, 8)


def scaled(net: nn.Module, factor: float) -> nn.Module:
    """Multiply all weights (two axes or more) but those of the last linear layer."""
    last = [part for part in net.modules() if isinstance(part, nn.Linear)][-1].weight
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() > 1 and weight is not last:
                weight.mul_(factor)
    return net


def kaiming(net: nn.Module) -> nn.Module:
    for part in net.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return net


def mlp(depth: int, width: int, act: type[nn.Module], norm: type[nn.Module] | None = None) -> nn.Module:
    parts: list[nn.Module] = []
    for i in range(depth):
        parts += [nn.Linear(64 if i == 0 else width, width), *([norm(width)] if norm else []), act()]
    return nn.Sequential(*parts, nn.Linear(width, 10))


def tiny(net: nn.Module) -> nn.Module:
    """N(0, 0.05^2): far too small for its width, as drawn by hand in many tutorials."""
    for part in net.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.05)
            nn.init.zeros_(part.bias)
    return net


class Residual(nn.Module):
    """h + W2 phi(W1 norm(h)), or with the normalization after the sum."""

    def __init__(self, width: int, norm: type[nn.Module] | None, *, post: bool = False) -> None:
        super().__init__()
        self.norm = norm(width) if norm else nn.Identity()
        self.up, self.down, self.post = nn.Linear(width, width), nn.Linear(width, width), post

    def forward(self, h: Tensor) -> Tensor:
        if self.post:
            return self.norm(h + self.down(functional.relu(self.up(h))))
        return h + self.down(functional.relu(self.up(self.norm(h))))


def resmlp(depth: int, width: int, norm: type[nn.Module] | None, *, post: bool = False) -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, width), *(Residual(width, norm, post=post) for _ in range(depth)), nn.Linear(width, 10)
    )


def convs(depth: int, width: int, norm: Callable[[int], nn.Module] | None = None) -> nn.Module:
    parts: list[nn.Module] = [Image()]
    for i in range(depth):
        parts += [nn.Conv2d(1 if i == 0 else width, width, 3, padding=1), *([norm(width)] if norm else []), nn.ReLU()]
        if i == depth // 2:
            parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


class Basic(nn.Module):
    """ResNet's basic block; ``zero``: the last gain begins at 0; ``pre``: activation before convolution."""

    def __init__(self, c: int, norm: Callable[[int], nn.Module], *, zero: bool = False, pre: bool = False) -> None:
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(c, c, 3, padding=1, bias=False), norm(c)
        self.c2, self.n2, self.pre = nn.Conv2d(c, c, 3, padding=1, bias=False), norm(c), pre
        if zero:
            nn.init.zeros_(self.n2.weight)  # type: ignore[arg-type]

    def forward(self, h: Tensor) -> Tensor:
        if self.pre:
            return h + self.c2(functional.relu(self.n2(self.c1(functional.relu(self.n1(h))))))
        return functional.relu(h + self.n2(self.c2(functional.relu(self.n1(self.c1(h))))))


def group(c: int) -> nn.Module:
    return nn.GroupNorm(4, c)


def resnet(depth: int, c: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d, **how: bool) -> nn.Module:
    return nn.Sequential(
        Image(), nn.Conv2d(1, c, 3, padding=1, bias=False), norm(c), nn.ReLU(),
        *(Basic(c, norm, **how) for _ in range(depth)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10),
    )  # fmt: skip


class Mean(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return h.mean(1)


class Patches(nn.Module):
    """(B, 64) -> 16 patches of 2 x 2 pixels, embedded with positions: (B, 16, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(4, width), nn.Parameter(0.02 * torch.randn(16, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x.view(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)) + self.place


class RMS(nn.Module):
    """RMSNorm written out, as in Llama."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, h: Tensor) -> Tensor:
        return self.weight * (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6))


class Attention(nn.Module):
    """A transformer block; ``norm`` None: none at all; ``gain``: of a learnt scale on both branches (CaiT), if any."""

    def __init__(
        self, width: int, norm: type[nn.Module] | None, *, post: bool = False, gain: float | None = None
    ) -> None:
        super().__init__()
        self.n1, self.n2 = (norm(width) if norm else nn.Identity() for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.post = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), post
        self.g1, self.g2 = (nn.Parameter(torch.full((width,), 1.0 if gain is None else gain)) for _ in range(2))

    def mix(self, h: Tensor) -> Tensor:
        q, k, v = self.qkv(h).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))

    def feed(self, h: Tensor) -> Tensor:
        return self.down(functional.gelu(self.up(h)))

    def forward(self, h: Tensor) -> Tensor:
        if self.post:
            h = self.n1(h + self.mix(h))
            return self.n2(h + self.feed(h))
        h = h + self.g1 * self.mix(self.n1(h))
        return h + self.g2 * self.feed(self.n2(h))


def transformer(depth: int, width: int, norm: type[nn.Module] | None = nn.LayerNorm, **how: object) -> nn.Module:
    blocks = (Attention(width, norm, **how) for _ in range(depth))  # type: ignore[arg-type]
    last = norm(width) if norm else nn.Identity()
    return nn.Sequential(Patches(width), *blocks, last, Mean(), nn.Linear(width, 10))


def gpt(net: nn.Module) -> nn.Module:
    """N(0, 0.02^2) for every weight and zero biases, as in GPT-2."""
    for part in net.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
    return net


class Mixer(nn.Module):
    """An MLP-Mixer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.t1, self.t2 = nn.Linear(16, 32), nn.Linear(32, 16)
        self.c1, self.c2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.t2(functional.gelu(self.t1(self.n1(h).transpose(1, 2)))).transpose(1, 2)
        return h + self.c2(functional.gelu(self.c1(self.n2(h))))


def mixer(depth: int, width: int) -> nn.Module:
    return nn.Sequential(
        Patches(width), *(Mixer(width) for _ in range(depth)), nn.LayerNorm(width), Mean(), nn.Linear(width, 10)
    )


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("ReLU MLP, 4 layers", lambda: mlp(4, 64, nn.ReLU), "sgd"),
    Architecture("ReLU MLP, 20 layers", lambda: mlp(20, 64, nn.ReLU), "sgd", bad=True),
    Architecture("ReLU MLP, 20 layers, He", lambda: kaiming(mlp(20, 64, nn.ReLU)), "sgd"),
    Architecture("ReLU MLP, 12 layers, He x 3", lambda: scaled(kaiming(mlp(12, 64, nn.ReLU)), 3), "sgd", bad=True),
    Architecture("ReLU MLP, 8 layers, N(0, 0.05^2)", lambda: tiny(mlp(8, 64, nn.ReLU)), "adam", bad=True),
    Architecture("tanh MLP, 12 layers", lambda: mlp(12, 64, nn.Tanh), "sgd", bad=True),
    Architecture("GELU MLP, 12 layers", lambda: mlp(12, 64, nn.GELU), "adam", bad=True),
    Architecture("SiLU MLP, 6 layers", lambda: mlp(6, 64, nn.SiLU), "adam"),
    Architecture("CNN, 4 layers", lambda: convs(4, 16), "sgd"),
    Architecture("CNN, 12 layers", lambda: convs(12, 16), "sgd", bad=True),
    Architecture("residual MLP, 6 blocks, no normalization", lambda: resmlp(6, 64, None), "sgd"),
    Architecture("residual MLP, 16 blocks, no normalization, He", lambda: kaiming(resmlp(16, 64, None)), "sgd", bad=True),
    Architecture("BatchNorm MLP, 6 layers", lambda: mlp(6, 64, nn.ReLU, nn.BatchNorm1d), "sgd", "normalized"),
    Architecture("BatchNorm MLP, 20 layers", lambda: mlp(20, 64, nn.ReLU, nn.BatchNorm1d), "adam", "normalized"),
    Architecture("LayerNorm MLP, 8 layers", lambda: mlp(8, 64, nn.ReLU, nn.LayerNorm), "adam", "normalized"),
    Architecture("BatchNorm CNN, 8 layers", lambda: convs(8, 16, nn.BatchNorm2d), "sgd", "normalized"),
    Architecture("GroupNorm CNN, 8 layers", lambda: convs(8, 16, group), "sgd", "normalized"),
    Architecture("ResNet, 6 blocks", lambda: resnet(6, 16), "sgd", "normalized"),
    Architecture("pre-activation ResNet, 6 blocks", lambda: resnet(6, 16, pre=True), "sgd", "normalized"),
    Architecture("residual MLP, 8 blocks, LayerNorm", lambda: resmlp(8, 64, nn.LayerNorm), "adam", "normalized"),
    Architecture("residual MLP, 8 blocks, BatchNorm after the sum", lambda: resmlp(8, 64, nn.BatchNorm1d, post=True), "sgd", "normalized"),
    Architecture("MLP-Mixer, 4 blocks", lambda: mixer(4, 32), "adam", "normalized"),
    Architecture("ResNet, 6 blocks, zero gamma", lambda: resnet(6, 16, zero=True), "sgd", "zero gamma"),
    Architecture("ResNet, 12 blocks, zero gamma", lambda: resnet(12, 16, zero=True), "adam", "zero gamma"),
    Architecture("GroupNorm ResNet, 6 blocks, zero gamma", lambda: resnet(6, 16, group, zero=True), "sgd", "zero gamma"),
    Architecture("ViT, 4 blocks", lambda: transformer(4, 32), "adam", "transformer"),
    Architecture("ViT, 4 blocks, normalization after the sum", lambda: transformer(4, 32, post=True), "adam", "transformer"),
    Architecture("ViT, 6 blocks, N(0, 0.02^2)", lambda: gpt(transformer(6, 32)), "adam", "transformer"),
    Architecture("ViT, 4 blocks, RMSNorm", lambda: transformer(4, 32, RMS), "adam", "transformer"),
    Architecture("ViT, 8 blocks, weights x 3", lambda: scaled(transformer(8, 32), 3), "adam", "transformer", bad=True),
    Architecture("ViT, 6 blocks, no normalization", lambda: transformer(6, 32, None), "adam", "transformer"),
    Architecture("CaiT, 6 blocks, branches of zero gain", lambda: transformer(6, 32, gain=0.0), "adam", "zero gamma"),
)  # fmt: skip
