"""The theory of criticality beside random networks of finite width, written out in numpy: nothing is trained.

Tolerances are those of the facts that the project collected: 5 % for one block at width 500, more for products of blocks,
whose spread over networks grows as depth / width.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from phasescope.theory import activations, autoinit, correlation_map, criticality, finite_width, transformer_signal
from phasescope.theory.criticality import Block
from phasescope.theory.transformer_signal import TransformerBlock

Matrix = Any


def orthogonal(g: np.random.Generator, n: int) -> Matrix:
    q, r = np.linalg.qr(g.standard_normal((n, n)))
    return q * np.sign(np.diag(r))


def centred(norm: str, h: Matrix) -> tuple[Matrix, float, bool]:
    """The vector after its norm, the deviation divided by, and whether a mean was taken off."""
    mean = h.mean() if norm.startswith("layer") else 0.0
    deviation = float(np.sqrt(((h - mean) ** 2).mean()))
    return (h - mean) / deviation, deviation, norm.startswith("layer")


def norm_jacobian(norm: str, h: Matrix) -> Matrix:
    """d norm(h) / dh, the projections of order 1/N included, which theory leaves out."""
    unit, deviation, has_mean = centred(norm, h)
    n = h.size
    return (np.eye(n) - has_mean * np.ones((n, n)) / n - np.outer(unit, unit) / n) / deviation


def passed(block: Block, h: Matrix) -> Matrix:
    """What the weights of a block act on."""
    where = block.norm.split()
    if where[-1] == "pre":
        return block.phi.value(centred(where[0], h)[0])
    a = block.phi.value(h)
    return centred(where[0], a)[0] if where[-1] == "post" else a


def one_block(block: Block, h: Matrix, w: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """The next preactivations and the full Jacobian of one block, literally."""
    phi, where = block.phi, block.norm.split()
    if where[-1] == "pre":
        jacobian = phi.slope(centred(where[0], h)[0])[:, None] * norm_jacobian(where[0], h)
    elif where[-1] == "post":
        jacobian = norm_jacobian(where[0], phi.value(h)) * phi.slope(h)
    else:
        jacobian = np.diag(phi.slope(h))
    return w @ passed(block, h) + b + block.residual * h, w @ jacobian + block.residual * np.eye(h.size)


def network(block: Block, seed: int, n: int, depth: int, start: float) -> tuple[Matrix, Matrix, Matrix]:
    """Kernels (depth + 1,), one-block and accumulated Jacobian norms (depth,), of one random network."""
    g = np.random.default_rng(seed)
    h = g.standard_normal(n) * math.sqrt(start)
    product, kernels, single, total = np.eye(n), [float((h**2).mean())], [], []
    for _ in range(depth):
        w = orthogonal(g, n) if block.weights == "orthogonal" else g.standard_normal((n, n)) / math.sqrt(n)
        b = g.standard_normal(n) * math.sqrt(block.bias_variance)
        h, jacobian = one_block(block, h, w * math.sqrt(block.weight_variance), b)
        product = jacobian @ product
        kernels.append(float((h**2).mean()))
        single.append(float((jacobian**2).sum() / n))
        total.append(float((product**2).sum() / n))
    return np.array(kernels), np.array(single), np.array(total)


BLOCKS = [
    Block("relu", 2.0),
    Block("erf", 2.0, 0.4, residual=0.9),
    Block("gelu", 1.5, 0.2),
    Block("tanh", 1.8, 0.1),
    Block("silu", 2.0, 0.1, "layer pre", 0.5),
    Block("erf", 2.0, 0.3, "rms pre"),
    Block("relu", 2.0, 0.9, "layer post"),
    Block("gelu", 1.0, 0.5, "layer post", 0.6),
    Block("relu", 1.5, 0.5, "rms post", 0.3),
    Block("tanh", 1.3, 0.05, weights="orthogonal"),
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: f"{b.activation} {b.norm} {b.residual}")
def test_one_block_multipliers(block: Block) -> None:
    """Kernel and chi_J after 6 blocks, 4 networks of width 300: within 12 % and 5 % of theory."""
    runs = [network(block, seed, 300, 6, 1.0) for seed in range(4)]
    kernel = np.mean([k[-1] for k, _, _ in runs])
    # read where the theory's kernel and the network's agree, so that fluctuations of K do not enter chi
    expected = np.mean([[criticality.chi_jacobian(block, k) for k in kernels[3:-1]] for kernels, _, _ in runs])
    assert kernel == pytest.approx(criticality.kernel_trajectory(block, 1.0, 6)[-1], rel=0.12)
    assert np.mean([chi[3:] for _, chi, _ in runs]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    "block", [Block("relu", 2.0), Block("erf", math.pi / 4), Block("erf", 1.5, norm="layer pre"), Block("relu", 1.8)]
)
def test_products_of_blocks(block: Block) -> None:
    """J over 12 blocks, 6 networks of width 250: the mean over networks within 15 % (facts 1.6, claim 2)."""
    totals = np.mean([network(block, seed, 250, 12, 1.0)[2] for seed in range(6)], 0)
    expected = criticality.apjn(block, 1.0, 12)[1:]
    assert totals[[3, 7, 11]] == pytest.approx(expected[[3, 7, 11]], rel=0.15)


def test_growth_is_a_power_at_unit_residual() -> None:
    """LN on preactivations, mu = 1: log-log slope on l = 10 to 30 within 0.1 of the recursion's (claim 4)."""
    block = Block("relu", 2.0, norm="layer pre", residual=1.0)
    logs = np.log(np.mean([network(block, seed, 150, 30, 1.0)[2] for seed in range(3)], 0))
    depths = np.arange(10, 31)
    expected = np.polyfit(np.log(depths), criticality.log_apjn(block, 1.0, 30)[depths], 1)[0]
    assert np.polyfit(np.log(depths), logs[depths - 1], 1)[0] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_batchnorm(name: str) -> None:
    """Batch of 64, width 400: chi summed over both samples, within 2.5 % of 1.016 times theory (facts 1.5).

    Scale invariance is exact: with the same draws, other weights and biases give the same chi.
    """
    found = {}
    for sw, sb in ((2.0, 0.0), (0.5, 1.0)):
        g, phi = np.random.default_rng(3), activations.activation(name)
        x = g.standard_normal((400, 64))
        chis = []
        for _ in range(14):
            deviation = x.std(1, keepdims=True)
            unit = (x - x.mean(1, keepdims=True)) / deviation
            w = g.standard_normal((400, 400)) * math.sqrt(sw / 400)
            # sum over i of W_ij^2, times sum over x, x' of (phi'(x) d unit_j(x) / d h_j(x'))^2
            project = np.eye(64) - 1 / 64 - unit[:, :, None] * unit[:, None, :] / 64
            squares = ((phi.slope(unit)[:, :, None] * project / deviation[:, :, None]) ** 2).sum((1, 2))
            chis.append(float((w**2).sum(0) @ squares / (400 * 64)))
            x = w @ phi.value(unit) + math.sqrt(sb) * g.standard_normal((400, 1))
        found[sw] = np.mean(chis[8:])
    assert found[0.5] == pytest.approx(found[2.0], rel=1e-9)
    assert found[2.0] == pytest.approx(criticality.fixed_chi(Block(name, 2.0, norm="batch")) * 1.016, rel=0.025)


@pytest.mark.parametrize(
    "block",
    [
        Block("tanh", 2.5, 0.1),
        Block("relu", 2.0, norm="layer post"),
        Block("erf", 2.0, 0.1, "rms pre", 0.5),
        Block("relu", 2.0),
    ],
)
def test_correlations(block: Block) -> None:
    """Two inputs of correlation 0.4 through 5 blocks: c within 0.04 (40 networks of width 300, their standard error is
    0.01), and chi(c) of one block within 6 % (2 networks)."""
    correlations, multipliers = [], []
    for seed in range(40):
        g = np.random.default_rng(seed)
        first, other = np.linalg.qr(g.standard_normal((300, 2)))[0].T * math.sqrt(300)  # so that the start is exact
        pair = [first, 0.4 * first + math.sqrt(1 - 0.16) * other]
        for layer in range(5):
            w = g.standard_normal((300, 300)) * math.sqrt(block.weight_variance / 300)
            b = g.standard_normal(300) * math.sqrt(block.bias_variance)
            if seed < 2 and layer > 1:
                (k1, cov), (_, k2) = np.array(pair) @ np.array(pair).T / 300
                one, two = (one_block(block, h, w, b)[1] for h in pair)
                multipliers.append((one * two).sum() / 300 / correlation_map.chi_pair(block, k1, k2, cov))
            pair = [w @ passed(block, h) + b + block.residual * h for h in pair]
        correlations.append(pair[0] @ pair[1] / math.sqrt((pair[0] @ pair[0]) * (pair[1] @ pair[1])))
    assert np.mean(correlations) == pytest.approx(
        correlation_map.correlation_trajectory(block, 1.0, 0.4, 5)[1][-1], abs=0.04
    )
    assert np.mean(multipliers) == pytest.approx(1, rel=0.06)


def test_tangent_kernel() -> None:
    """Theta of a ReLU network with one output, sigma_w^2 = 1.6, sigma_b^2 = 0.3, L = 8, N = 300: within 8 % (claim 10)."""
    sw, sb, n, depth = 1.6, 0.3, 300, 8
    found = []
    for seed in range(6):
        g = np.random.default_rng(seed)
        x = g.standard_normal(n)
        x *= math.sqrt(n) / np.linalg.norm(x)
        weights = [g.standard_normal((n, n)) * math.sqrt(sw / n) for _ in range(depth)]
        inputs, slopes, h = [], [], x
        for layer, w in enumerate(weights):
            before = h if layer == 0 else np.maximum(h, 0)
            inputs.append(before)
            slopes.append(None if layer == 0 else (h > 0))
            h = w @ before + math.sqrt(sb) * g.standard_normal(n)
        # each layer's parameters give sigma_w^2 |a|^2 / N + sigma_b^2, seen from all outputs through the Jacobian behind
        back, theta = np.eye(n), 0.0
        for layer in reversed(range(depth)):
            theta += (sw * float(inputs[layer] @ inputs[layer]) / n + sb) * float((back**2).sum() / n)
            if layer:
                back = back @ weights[layer] * slopes[layer]
        found.append(theta)
    expected = correlation_map.ntk(Block("relu", sw, sb), sw + sb, 1.0, depth)[-1]
    assert np.mean(found) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_finite_width(weights: Any) -> None:
    """ReLU, N = 40, 3 blocks: N Var(K)/K^2 over 1500 networks within 18 %, and the spread of singular values over 4
    blocks at N = 300 within 10 %."""
    block = Block("relu", 2.0, weights=weights)
    n, depth, kernels = 40, 3, []
    g = np.random.default_rng(0)
    for _ in range(1500):
        h = g.standard_normal(n)
        if weights == "orthogonal":
            h *= math.sqrt(n) / np.linalg.norm(h)  # theory starts from a kernel that does not vary
        for _ in range(depth):
            w = orthogonal(g, n) if weights == "orthogonal" else g.standard_normal((n, n)) / math.sqrt(n)
            h = math.sqrt(2) * w @ np.maximum(h, 0)
        kernels.append(float(h @ h) / n)
    relative = np.var(kernels) / np.mean(kernels) ** 2 * n
    assert np.mean(kernels) == pytest.approx(1, abs=0.06)
    # to second order the kernel is log-normal: exp(s/n) - 1 for s/n from the linear recursion
    first = finite_width.kernel_variance(block, 1.0, depth)[-1]
    assert relative == pytest.approx(n * math.expm1(first / n), rel=0.18)

    spreads = []
    for seed in range(3):
        g = np.random.default_rng(seed)
        h, product = g.standard_normal(300), np.eye(300)
        for _ in range(4):
            w = orthogonal(g, 300) if weights == "orthogonal" else g.standard_normal((300, 300)) / math.sqrt(300)
            h, jacobian = one_block(block, h, math.sqrt(2) * w, np.zeros(300))
            product = jacobian @ product
        squares = np.linalg.svd(product, compute_uv=False) ** 2
        spreads.append(np.var(squares) / np.mean(squares) ** 2)
    assert np.mean(spreads) == pytest.approx(finite_width.singular_value_spread(block, 1.0, 4)[-1], rel=0.1)


def test_autoinit_lands_in_a_network() -> None:
    """Facts 2.3, claim 3: ten ReLU layers of width 300, the frozen draw's own Jacobian, eta = 0.5 / sigma_w^2.

    Layer by layer the measured J of one block is a^2 times its value at a = 1; log descent on it needs <= 10 steps to
    |log J| < 0.05, and the tuned a sigma_w is sqrt 2 within 0.1.
    """
    for sw in (0.5, 8.0):
        g = np.random.default_rng(0)
        h = g.standard_normal(300)
        for _ in range(10):
            w = g.standard_normal((300, 300)) * math.sqrt(sw / 300)
            gain = float((one_block(Block("relu", sw), h, w, np.zeros(300))[1] ** 2).sum() / 300)
            scale, steps = 1.0, 0
            while abs(math.log(scale**2 * gain)) > 0.05:
                scale, steps = autoinit.autoinit_step(scale, 0.5 / sw, gain), steps + 1
            assert steps <= 10
            assert scale * math.sqrt(sw) == pytest.approx(math.sqrt(2), abs=0.1 * math.sqrt(2))
            h = scale * w @ np.maximum(h, 0)


def transformer(block: TransformerBlock, seed: int, d: int, depth: int, rho: float) -> list[float]:
    """Mean cosine between tokens before and after each block of one random transformer."""
    g, n = np.random.default_rng(seed), int(block.tokens)
    common = g.standard_normal(d)
    x = math.sqrt(rho) * common + math.sqrt(1 - rho) * g.standard_normal((n, d))

    def unit(y: Matrix) -> Matrix:
        return y / np.linalg.norm(y, axis=1, keepdims=True) * math.sqrt(d)

    def cosine(y: Matrix) -> float:
        u = unit(y) / math.sqrt(d)
        return float(((u.sum(0) ** 2).sum() - n) / (n * (n - 1)))

    found = [cosine(x)]
    for _ in range(depth):
        for strength, kind in ((block.attention, "attention"), (block.mlp, "mlp")):
            if block.skip == "reset":
                x = unit(x)
            y = unit(x)
            if kind == "attention":
                product = g.standard_normal((d, d)) * block.score_scale / d
                scores = y @ product @ y.T
                weights = np.exp(scores - scores.max(1, keepdims=True))
                branch = weights / weights.sum(1, keepdims=True) @ y @ g.standard_normal((d, d)) / math.sqrt(d)
            else:
                hidden = np.tanh(y @ g.standard_normal((d, 2 * d)) * block.weight_scale / math.sqrt(d))
                branch = hidden @ g.standard_normal((2 * d, d)) / math.sqrt(2 * d)
            x = math.sqrt(block.keeps(strength)) * x + strength * branch
        found.append(cosine(x))
    return found


@pytest.mark.parametrize("skip", ["preserving", "reset", "growing"])
def test_tokens(skip: Any) -> None:
    """Cosines over 6 blocks, d = 400, n = 64, 2 networks, within 0.04 of the map (claim 1)."""
    block = TransformerBlock(0.7, 0.7, 3.0, 1.0, 64, skip=skip)
    states = transformer_signal.token_trajectory(block, 1.0, 0.2, 6)
    found = np.mean([transformer(block, seed, 400, 6, 0.2) for seed in range(2)], 0)
    assert found == pytest.approx(states[:, 1] / states[:, 0], abs=0.04)


@pytest.mark.parametrize("run", [(0.5, 0.5, 1.0), (0.5, 0.5, 4.0), (0.3, 0.8, 3.0)])
def test_angle_exponent(run: tuple[float, float, float]) -> None:
    """lambda_a over 6 blocks from 1 - rho = 1e-6, d = 400, n = 24, 3 networks, within 0.06."""
    block = TransformerBlock(*run, tokens=24)
    rates = []
    for seed in range(3):
        gaps = 1 - np.array(transformer(block, seed, 400, 10, 1 - 1e-6))
        rates.append(math.log(gaps[-1] / gaps[4]) / 6)
    assert np.mean(rates) == pytest.approx(transformer_signal.angle_exponent(block), abs=0.06)


@pytest.mark.parametrize("run", [(0.5, 0.5, 2.0), (0.3, 0.8, 3.0)])
def test_gradients_of_tokens(run: tuple[float, float, float]) -> None:
    """Squared gradient of sum(X_L R) at collapse, whole and its token mean, by backpropagation through 8 blocks,
    d = 160, n = 16, 50 networks: growth per block within 0.04 of the exponents (standard error 0.01 to 0.02)."""
    block, depth, d, n = TransformerBlock(*run, tokens=16), 8, 160, 16
    found = []
    for seed in range(50):
        g = np.random.default_rng(seed)

        def draw(*shape: int, g: np.random.Generator = g) -> torch.Tensor:
            return torch.tensor(g.standard_normal(shape))

        common = draw(d)
        first = (math.sqrt(transformer_signal.collapsed_size(block)) * (common + 1e-4 * draw(n, d))).requires_grad_()
        x = first
        for _ in range(depth):
            y = x / x.norm(dim=1, keepdim=True) * math.sqrt(d)
            scores = y @ draw(d, d) @ y.T / d
            x = math.sqrt(block.keeps(block.attention)) * x + block.attention * scores.softmax(1) @ y @ draw(
                d, d
            ) / math.sqrt(d)
            y = x / x.norm(dim=1, keepdim=True) * math.sqrt(d)
            hidden = torch.tanh(y @ draw(d, 2 * d) * block.weight_scale / math.sqrt(d))
            x = math.sqrt(block.keeps(block.mlp)) * x + block.mlp * hidden @ draw(2 * d, d) / math.sqrt(2 * d)
        (gradient,) = torch.autograd.grad((x * draw(n, d)).sum(), first)
        # R has n d entries of size 1; its token mean has d entries of size 1 / n
        found.append([gradient.square().sum() / (n * d), gradient.mean(0).square().sum() / (d / n)])
    total, mean = np.log(np.mean(found, 0)) / depth
    assert total == pytest.approx(transformer_signal.gradient_exponent(block, depth), abs=0.04)
    assert mean == pytest.approx(transformer_signal.mean_gradient_exponent(block), abs=0.04)
