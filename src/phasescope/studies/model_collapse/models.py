"""The generative models that the study ``model-collapse`` feeds with their own samples: text, images, diffusion."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from phasescope.ensemble import feedback_loop
from phasescope.ensemble.feedback import Feeding
from phasescope.vocabulary import Array, BadInput, Generators, Member

Found = Mapping[str, Any]
ALPHABET = " abcdefghijklmnopqrstuvwxyz.,\n"  # 30 symbols; every other character is dropped
ROW = 1000  # symbols of a row of text: the unit that is sampled


def policy_of(member: Member) -> Feeding:
    """Return what the member's fits see; ``feedback_loop`` refuses an unknown policy."""
    return cast(Feeding, str(member["policy"]))


@lru_cache
def symbols(path: str = "") -> Array:
    """Return a text as int8 symbols (n,): the file ``path``, or the Python language reference that Python carries.

    Lower case, runs of other characters become one space. Raises ``BadInput`` for a file that is not there.
    """
    if path:
        if not Path(path).is_file():
            raise BadInput(f"text is {path!r}: give the path of a plain text file, or nothing for Python's reference.")
        text = Path(path).read_text("utf-8", errors="ignore")
    else:
        from pydoc_data.topics import topics

        text = "\n".join(topics[name] for name in sorted(topics))
    plain = re.sub(r"[^a-z.,\n]+", " ", text.lower())
    plain = re.sub(r"\n\s*", "\n", plain)
    return np.array([ALPHABET.index(c) for c in plain], dtype=np.int8)


def text_hash(path: str = "") -> str:
    """Return a hash of the text, which makes part of a run's identity."""
    return hashlib.sha256(symbols(path).tobytes()).hexdigest()[:16]


def rows_of_text(path: str, rows: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Return disjoint random rows (rows, 1000) to train on and as many to test with."""
    text = symbols(path)
    every = text[: len(text) // ROW * ROW].reshape(-1, ROW)
    if len(every) < 2 * rows:
        raise BadInput(f"the text has {len(every)} rows of {ROW} symbols: {2 * rows} are needed; give fewer tokens.")
    chosen = generator.permutation(len(every))[: 2 * rows]
    return every[chosen[:rows]], every[chosen[rows:]]


def fit_trigrams(rows: Array, generator: np.random.Generator, add: float = 0.01) -> Array:
    """Return p(c | a, b) (30, 30, 30) of rows of symbols: counts plus ``add``, normalized."""
    K = len(ALPHABET)
    code = (rows[:, :-2].astype(np.int64) * K + rows[:, 1:-1]) * K + rows[:, 2:]
    counts = np.bincount(code.ravel(), minlength=K**3).reshape(K, K, K) + add
    return np.asarray(counts / counts.sum(-1, keepdims=True))


def sample_trigrams(model: Array, count: int, generator: np.random.Generator) -> Array:
    """Return ``count`` rows (count, 1000) of symbols, each begun with a space."""
    steps = model.cumsum(-1)
    rows = np.zeros((count, ROW), np.int8)
    for t in range(2, ROW):
        reached = steps[rows[:, t - 2], rows[:, t - 1]]
        rows[:, t] = np.minimum((generator.random((count, 1)) > reached).sum(1), len(ALPHABET) - 1)
    return rows


def trigrams(member: Member, generators: Generators) -> Found:
    """Feed a trigram model of characters its own text: ``loss`` (fits,) on real text, nats per character."""
    real, test = rows_of_text(str(member["path"]), int(member["rows"]), generators("data"))
    a, b, c = test[:, :-2], test[:, 1:-1], test[:, 2:]
    readings = feedback_loop(
        fit_trigrams, sample_trigrams, real, policy_of(member), fits=int(member["fits"]), generators=generators,
        measure=lambda model: {"loss": -np.log(model[a, b, c]).mean()},
    ).readings  # fmt: skip
    return {"loss": readings.loss.values}


def digits(generator: np.random.Generator) -> tuple[Array, Array]:
    """Return scikit-learn's 1,797 digits, pixels in [0, 1], float32 (N, 64): 1,400 to train on, the rest to test."""
    from sklearn.datasets import load_digits

    pixels = (load_digits().data / 16).astype(np.float32)[generator.permutation(1797)]
    return pixels[:1400], pixels[1400:]


def initialized(network: nn.Module, generator: np.random.Generator) -> nn.Module:
    """Draw every matrix of ``network`` from N(0, 1/inputs), set biases to 0, and return it."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                draw = generator.standard_normal(tuple(module.weight.shape)) / np.sqrt(module.in_features)
                module.weight.copy_(torch.from_numpy(draw))
                module.bias.zero_()
    return network


def noise(generator: np.random.Generator, *shape: int) -> Tensor:
    """Return standard normal float32 numbers of ``shape``."""
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


class Autoencoder(nn.Module):
    """A variational autoencoder of 64 pixels, 128 hidden units and 8 latent ones, with Bernoulli pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 16))
        self.decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))

    def bound(self, pixels: Tensor, draw: Tensor) -> Tensor:
        """Return -ELBO per image (N,) in nats, one latent draw (N, 8) each."""
        mean, log_variance = self.encoder(pixels).chunk(2, -1)
        logits = self.decoder(mean + (log_variance / 2).exp() * draw)
        fit = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="none").sum(-1)
        bound: Tensor = fit + 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
        return bound


def descend(network: nn.Module, steps: int, loss: Any, data: Array, generator: np.random.Generator) -> None:
    """Take Adam steps on ``loss(rows)`` of batches of 64 random rows."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    rows = torch.from_numpy(data)
    for _ in range(steps):
        value = loss(rows[torch.from_numpy(generator.integers(len(rows), size=64))])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def autoencoder(member: Member, generators: Generators) -> Found:
    """Feed a variational autoencoder its own digits: ``loss``, test -ELBO, and ``variance`` of its samples (fits,)."""
    real, test = digits(generators("data"))
    fixed, places = noise(generators("test"), len(test), 8), noise(generators("places"), 1400, 8)

    def fit(data: Array, generator: np.random.Generator) -> Autoencoder:
        network = Autoencoder()
        initialized(network, generator)
        descend(
            network,
            int(member["steps"]),
            lambda x: network.bound(x, noise(generator, len(x), 8)).mean(),
            data,
            generator,
        )
        return network

    def sample(network: Autoencoder, count: int, generator: np.random.Generator) -> Array:
        with torch.no_grad():
            return np.asarray(network.decoder(noise(generator, count, 8)).sigmoid().numpy())

    def measure(network: Autoencoder) -> Found:
        with torch.no_grad():
            loss = network.bound(torch.from_numpy(test), fixed).mean().item()
            seen = network.decoder(places).sigmoid()
        return {"loss": loss, "variance": seen.var(0).sum().item(), "shown": seen[:6].reshape(6, 8, 8).numpy()}

    readings = feedback_loop(
        fit, sample, real, policy_of(member), fits=int(member["fits"]), measure=measure, generators=generators
    ).readings
    return {name: readings[name].values for name in ("loss", "variance", "shown")}


class Denoiser(nn.Module):
    """Predicts the noise in noisy digits (N, 64) at times (N, 1) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64 + 9, 192), nn.SiLU(), nn.Linear(192, 192), nn.SiLU(), nn.Linear(192, 64)
        )

    def forward(self, noisy: Tensor, time: Tensor) -> Tensor:
        """Return the noise (N, 64)."""
        waves = time * torch.pi * 2.0 ** torch.arange(4)
        out: Tensor = self.layers(torch.cat([noisy, time, waves.sin(), waves.cos()], -1))
        return out


DIFFUSION_STEPS = 50


def schedule() -> Tensor:
    """Return what remains of the signal's variance after each of 50 steps, a cosine (Nichol and Dhariwal 2021)."""
    t = torch.linspace(0, 1, DIFFUSION_STEPS + 1)
    kept = torch.cos((t + 0.008) / 1.008 * torch.pi / 2).square()
    return (kept / kept[0]).clamp(1e-4)


def diffusion(member: Member, generators: Generators) -> Found:
    """Feed a diffusion model its own digits: ``loss``, the test error of the noise, and ``variance`` of its samples."""
    real, test = (2 * part - 1 for part in digits(generators("data")))
    kept, tests = schedule(), torch.from_numpy(test)
    levels, jitter = (
        generators("test").integers(1, DIFFUSION_STEPS + 1, len(test)),
        noise(generators("jitter"), *test.shape),
    )

    def error(network: Denoiser, rows: Tensor, level: Array, draw: Tensor) -> Tensor:
        share = kept[torch.from_numpy(level)][:, None]
        time = torch.from_numpy(level / DIFFUSION_STEPS).float()[:, None]
        found: Tensor = network(share.sqrt() * rows + (1 - share).sqrt() * draw, time)
        return (found - draw).square().mean()

    def fit(data: Array, generator: np.random.Generator) -> Denoiser:
        network = Denoiser()
        initialized(network, generator)

        def loss(rows: Tensor) -> Tensor:
            level = generator.integers(1, DIFFUSION_STEPS + 1, len(rows))
            return error(network, rows, level, noise(generator, *rows.shape))

        descend(network, int(member["steps"]), loss, data, generator)
        return network

    def sample(network: Denoiser, count: int, generator: np.random.Generator) -> Array:
        x = noise(generator, count, 64)
        with torch.no_grad():
            for level in range(DIFFUSION_STEPS, 0, -1):
                now, before = kept[level], kept[level - 1]
                found = network(x, torch.full((count, 1), level / DIFFUSION_STEPS))
                clean = ((x - (1 - now).sqrt() * found) / now.sqrt()).clamp(-1, 1)
                spread = (1 - before) / (1 - now) * (1 - now / before)
                mean = (before.sqrt() * (1 - now / before) * clean + (now / before).sqrt() * (1 - before) * x) / (
                    1 - now
                )
                x = mean + spread.sqrt() * noise(generator, count, 64) * (level > 1)
        return np.asarray(x.numpy())

    def measure(network: Denoiser) -> Found:
        with torch.no_grad():
            loss = error(network, tests, levels, jitter).item()
        seen = sample(network, 400, generators("places"))
        return {"loss": loss, "variance": seen.var(0).sum() / 4}

    readings = feedback_loop(
        fit, sample, real, policy_of(member), fits=int(member["fits"]), measure=measure, generators=generators
    ).readings
    return {name: readings[name].values for name in ("loss", "variance")}
