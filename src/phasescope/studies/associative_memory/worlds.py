"""What the study ``associative-memory`` measures: one function per world, each of a member and its streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import special
from sklearn.metrics import adjusted_rand_score

from phasescope.theory import associative_memory, memory_creation, memory_limits
from phasescope.vocabulary import Array, Generators, Member

Found = Mapping[str, Any]
SPREAD, PRIOR = 0.3, 4.0  # of the points of a blob, and of the blobs' centres
APART = 8 * SPREAD  # the least distance between centres
STARTS, FLOW_STEPS = 64, 2000
BLOCKS, SETTLED = 50, 1e-9  # of FLOW_STEPS at most, until no drift is larger: it is slow where memories merge
MOVES = 100  # of memories towards random points, which learning is compared with
LIMIT = 300  # mean-shift steps until a state counts as settled


def retrieval(member: Member, generators: Generators) -> Found:
    """Follow the dynamics among random memories, and differentiate the mixture's likelihood by another route.

    ``rise`` is the largest rise of the energy in a step, ``rise_nearest`` that of the squared distance from the nearest
    memory, which the energy is for an endless beta.
    """
    draw, beta = generators("memories"), float(member["beta"])
    memories = draw.standard_normal((int(member["memories"]), 2))
    starts = 2 * draw.standard_normal((STARTS, 2))
    path = associative_memory.retrieve(starts, memories, beta)
    energies = np.stack([associative_memory.memory_energy(v, memories, beta) for v in path])
    distances = ((path[:, :, None] - memories) ** 2).sum(-1).min(2)
    final = settle(path[-1], memories, beta)
    nearest = np.sqrt(((final[:, None] - memories[None]) ** 2).sum(-1)).min(1)
    drift = 2 * beta * associative_memory.memory_drift(starts, memories, beta)
    return {
        "energy": energies.mean(1),
        "nearest": distances.mean(1),
        "rise": np.diff(energies, axis=0).max(),
        "rise_nearest": np.diff(distances, axis=0).max(),
        "residual": np.abs(associative_memory.memory_drift(final, memories, beta)).max(),
        "to_nearest": nearest.max(),
        "score_gap": np.abs(score(starts, memories, 1 / (2 * beta)) - drift).max(),
        "score_gap_printed": np.abs(score(starts, memories, 2 / beta) - drift).max(),
    }


def settle(states: Array, memories: Array, beta: float) -> Array:
    """Return where the dynamics end: states (N, D) whose drift is 1e-9 or less, or those of 100,000 steps."""
    for _ in range(BLOCKS):
        if np.abs(associative_memory.memory_drift(states, memories, beta)).max() <= SETTLED:
            break
        states = associative_memory.retrieve(states, memories, beta, steps=FLOW_STEPS)[-1]
    return states


def score(states: Array, means: Array, variance: float) -> Array:
    """Return grad log p (N, D) of torch's own Gaussian mixture with covariance ``variance`` I, by autograd."""
    x = torch.from_numpy(states).requires_grad_(True)
    mu, D = torch.from_numpy(means), means.shape[1]
    parts = torch.distributions.MultivariateNormal(mu, variance * torch.eye(D, dtype=torch.float64))
    weights = torch.distributions.Categorical(torch.ones(len(mu), dtype=torch.float64))
    density = torch.distributions.MixtureSameFamily(weights, parts)
    (slope,) = torch.autograd.grad(density.log_prob(x).sum(), x)  # type: ignore[no-untyped-call]
    return np.asarray(slope.numpy())


def blobs(draw: np.random.Generator, count: int, points: int) -> tuple[Array, Array]:
    """Return points (points, 2) of ``count`` blobs at least 8 spreads apart, and their labels (points,)."""
    centres = PRIOR * draw.standard_normal((1, 2))
    while len(centres) < count:
        new = PRIOR * draw.standard_normal((1, 2))
        if np.linalg.norm(centres - new, axis=1).min() >= APART:
            centres = np.concatenate([centres, new])
    labels = draw.integers(count, size=points)
    return centres[labels] + SPREAD * draw.standard_normal((points, 2)), labels


def clustering(member: Member, generators: Generators) -> Found:
    """Learn memories by gradient descent on sum |x - x^T|^2, x^T the point after T steps of its own dynamics.

    They start at random points. ``gain`` is in mean log-likelihood. ``beaten``: the fraction of 100 moves, as far but
    each memory towards a random point, that gain less; ``beaten_by_mean``: that gain less than as long a move of all
    towards the mean of the points. ``agreement`` is the adjusted Rand index of the settled points with the blobs,
    before and after.
    """
    points, labels = blobs(generators("data"), int(member["blobs"]), int(member["points"]))
    draw, K, beta = generators("init"), int(member["blobs"]), 1 / (2 * (4 * SPREAD) ** 2)
    first = points[draw.choice(len(points), K, replace=False)]
    memories = learn(points, first, beta, int(member["learning_steps"]))
    far = np.linalg.norm(memories - first, axis=1, keepdims=True)

    def gain(mu: Array) -> float:
        """Return what memories (K, 2) rather than the first ones add to the mean log-likelihood."""
        after, before = (associative_memory.mixture_log_likelihood(points, m, beta).mean() for m in (mu, first))
        return float(after - before)

    def towards(places: Array) -> float:
        """Return the gain of memories that go as far as they learnt to, towards places (K, 2)."""
        way = places - first
        return gain(first + far * way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12))

    def agreement(mu: Array) -> float:
        settled = associative_memory.retrieve(points, mu, beta)[-1]
        return float(adjusted_rand_score(labels, associative_memory.memory_posterior(settled, mu, beta).argmax(1)))

    moves = np.array([towards(points[draw.choice(len(points), K)]) for _ in range(MOVES)])
    return {
        "gain": gain(memories),
        "beaten": (moves < gain(memories)).mean(),
        "beaten_by_mean": (moves < towards(points.mean(0))).mean(),
        "agreement": np.array([agreement(first), agreement(memories)]),
    }


def learn(points: Array, memories: Array, beta: float, steps: int, *, unrolled: int = 10, rate: float = 0.05) -> Array:
    """Return the memories (K, D) after ``steps`` Adam steps on the mean |x - x^T|^2 through T = ``unrolled`` steps."""
    x, mu = torch.from_numpy(points), torch.tensor(memories, requires_grad=True)
    optimizer = torch.optim.Adam([mu], lr=rate)
    for _ in range(steps):
        v = x
        for _ in range(unrolled):
            weights = torch.softmax(-beta * torch.cdist(v, mu).square(), 1)
            v = v + 0.2 * (weights @ mu - v)
        loss = (x - v).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return np.asarray(mu.detach().numpy())


def creation(member: Member, generators: Generators) -> Found:
    """Pass once over the points of some blobs; each joins the memory it most likely belongs to, or makes a new one."""
    points, labels = blobs(generators("data"), int(member["blobs"]), int(member["points"]))
    numbers: dict[str, Any] = {
        "beta": 1 / (2 * SPREAD**2),
        "prior_precision": 1 / (2 * PRIOR**2),
        "alpha": float(member["alpha"]),
        "gaussians": str(member["gaussians"]),
    }
    memories, counts, assigned = np.empty((0, 2)), np.empty(0), np.empty(len(points), int)
    made = np.empty(len(points))
    for n, x in enumerate(points):
        k = int(memory_creation.creation_logits(x[None], memories, counts, **numbers)[0].argmax())
        if k == len(counts):
            memories, counts = np.concatenate([memories, x[None]]), np.append(counts, 0.0)
        counts[k] += 1
        memories[k] += (x - memories[k]) / counts[k]
        assigned[n], made[n] = k, len(counts)
    return {"made": made, "memories": float(len(counts)), "agreement": adjusted_rand_score(labels, assigned)}


def seats(member: Member, generators: Generators) -> Found:
    """Seat ``draws`` parties of ``points`` guests by the Chinese restaurant process; mean number of tables."""
    draw, alpha, discount = generators("seats"), float(member["alpha"]), float(member["discount"])
    draws, points = int(member["draws"]), int(member["points"])
    weights = np.zeros((draws, points + 1))  # of the tables so far; the first free place holds the new table's
    tables, rows, path = np.zeros(draws, int), np.arange(draws), np.empty(points)
    weights[:, 0] = 1.0
    for n in range(points):
        width = tables.max() + 1
        reached = weights[:, :width].cumsum(1)
        chosen = (reached <= draw.random((draws, 1)) * reached[:, -1:]).sum(1)
        new = chosen == tables
        weights[rows[~new], chosen[~new]] += 1.0
        weights[rows[new], tables[new]] = 1.0 - discount
        tables += new
        weights[rows, tables] = alpha + discount * tables
        path[n] = tables.mean()
    return {"tables": path}


def assignments(member: Member, generators: Generators) -> Found:
    """Let explicit assignments climb the ELBO, with its entropy and without."""
    draw, beta = generators("memories"), float(member["beta"])
    memories, points = draw.standard_normal((int(member["memories"]), 2)), draw.standard_normal((STARTS, 2))
    logits = -beta * ((points[:, None] - memories[None]) ** 2).sum(-1) - np.log(len(memories))
    logits = logits + np.log(beta / np.pi)
    evidence = associative_memory.mixture_log_likelihood(points, memories, beta)
    posterior = associative_memory.memory_posterior(points, memories, beta)
    found: dict[str, Any] = {}
    for name, entropy in (("", True), ("_without", False)):
        path = memory_creation.assignment_flow(logits, steps=FLOW_STEPS, entropy=entropy)
        bounds = np.stack([memory_creation.evidence_bound(q, logits) for q in path[:: FLOW_STEPS // 200]])
        found |= {f"gap{name}": (evidence - bounds).mean(1), f"distance{name}": np.abs(path[-1] - posterior).max()}
    return {**found, "bound_excess": (bounds - evidence).max()}


def sphere(draw: np.random.Generator, count: int, dimension: int) -> Array:
    """Return ``count`` uniform points (count, dimension) on the sphere of radius sqrt(dimension)."""
    points = draw.standard_normal((count, dimension))
    return np.asarray(points * np.sqrt(dimension) / np.linalg.norm(points, axis=1, keepdims=True))


def stays(patterns: Array, probes: int, square_bandwidth: float, reach: float = 0.3) -> Array:
    """Return (probes,) whether mean shift from each of the first patterns settles within ``reach`` of its norm."""
    x = torch.from_numpy(patterns)
    home, inside = x[:probes], torch.zeros(min(probes, len(x)), dtype=torch.bool)
    bias, going = -x.square().sum(1) / (2 * square_bandwidth), torch.arange(len(inside))
    v = home.clone()
    for _ in range(LIMIT):
        moved = torch.softmax(v @ x.T / square_bandwidth + bias, 1) @ x
        near = (moved - home[going]).norm(dim=1) <= reach * home[going].norm(dim=1)
        still = (moved - v).abs().amax(1) < 1e-4
        inside[going] = near
        going, v = going[near & ~still], moved[near & ~still]
        if len(going) == 0:
            break
    return np.asarray(inside.numpy())


def capacity(member: Member, generators: Generators) -> Found:
    """Find at how many random patterns half of them are still remembered by a Gaussian kernel density estimator.

    ``stored`` and ``kept``: at sizes a factor of the root of 2 apart; ``half`` comes from four times as fine ones about
    it, for at large dimension all are lost from one such size to the next.
    """
    D, h2 = int(member["dimension"]), float(member["square_bandwidth"])
    middle = np.log2(memory_limits.memory_capacity(D, h2))
    draw, probes = generators("patterns", D), int(member["probes"])

    def fraction(power: float) -> float:
        stored = round(2**power)
        sets = [sphere(draw, stored, D) for _ in range(-(-probes // stored))]
        return float(np.mean([stays(patterns, probes, h2).mean() for patterns in sets]))

    powers = np.arange(max(1.0, np.floor(2 * middle - 5) / 2), middle + 2, 0.5)
    kept = np.array([fraction(power) for power in powers])
    fine = dict(zip(powers, kept, strict=True))
    for width in (0.25, 0.125):
        sizes = np.array(sorted(fine))
        below = np.flatnonzero([fine[size] < 0.5 for size in sizes])
        if len(below) and below[0]:
            fine[sizes[below[0]] - width] = fraction(sizes[below[0]] - width)
    sizes = np.array(sorted(fine))
    return {"stored": np.round(2.0**powers), "kept": kept, "half": half(sizes, np.array([fine[x] for x in sizes]))}


def half(powers: Array, kept: Array) -> float:
    """Return 2^power at which ``kept`` falls below one half, interpolated; NaN where it does not cross."""
    below = np.flatnonzero(kept < 0.5)
    if len(below) == 0 or below[0] == 0:
        return float("nan")
    i = int(below[0])
    return float(2 ** np.interp(0.5, [kept[i], kept[i - 1]], [powers[i], powers[i - 1]]))


def linear_capacity(member: Member, generators: Generators) -> Found:
    """Find the same for the classical Hopfield network: signs, Hebb's rule, no self-coupling."""
    D, draw = int(member["dimension"]), generators("signs", int(member["dimension"]))
    powers = np.arange(0.0, np.log2(D) + 1, 0.25)
    kept = np.ones(len(powers))
    for i, power in enumerate(powers):
        trials = []
        for _ in range(int(member["trials"])):
            x = np.sign(draw.standard_normal((round(2**power), D)))
            weights = x.T @ x / D
            np.fill_diagonal(weights, 0)
            v = x
            for _ in range(30):
                v = np.where(v @ weights >= 0, 1.0, -1.0)
            trials.append((np.linalg.norm(v - x, axis=1) <= 0.3 * np.sqrt(D)).mean())
        kept[i] = np.mean(trials)
    return {"half": half(powers, kept)}


def unequal(member: Member, generators: Generators) -> Found:
    """Store patterns whose norms differ, in a density estimator and in a modern Hopfield network of one beta."""
    D, draw, probes = int(member["dimension"]), generators("patterns"), int(member["probes"])
    lengths = np.exp(float(member["spread"]) * draw.standard_normal((int(member["patterns"]), 1)))
    x = sphere(draw, len(lengths), D) * lengths
    v = x[:probes]
    for _ in range(LIMIT):
        v = associative_memory.hopfield_update(v, x, 1.0)
    near = np.linalg.norm(v - x[:probes], axis=1) <= 0.3 * np.linalg.norm(x[:probes], axis=1)
    start = x[:probes] + 0.1 * draw.standard_normal((probes, D))
    gap = np.abs(associative_memory.mean_shift(start, x, 1.0) - associative_memory.hopfield_update(start, x, 1.0)).max()
    return {"density": stays(x, probes, 1.0).mean(), "hopfield": near.mean(), "update_gap": gap}


def clustering_on_sphere(member: Member, generators: Generators) -> Found:
    """Compare attention after LayerNorm with the responsibilities of a mixture of von Mises-Fisher densities.

    ``uneven`` is how far the gains differ between channels. ``identity_gap`` compares attention with the factored
    exponents, ``mixture_gap`` with true densities and mixing weights, ``unweighted_gap`` where pi~ stands for the
    mixing weights.
    """
    draw, D = generators("attention"), int(member["dimension"])
    keys, shift = draw.standard_normal((int(member["keys"]), D)) / np.sqrt(D), draw.standard_normal(D)
    x = draw.standard_normal((STARTS, D))
    unit = x - x.mean(1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    gains = np.sqrt(D) * np.exp(float(member["uneven"]) * draw.standard_normal(D))
    gain = float(np.sqrt((gains**2).mean()))
    weights = special.softmax((unit * gains + shift) @ keys.T, axis=1)
    mixture = associative_memory.sphere_mixture(keys, gain, shift)
    factored = special.softmax(mixture.concentrations * (unit @ mixture.directions.T) + mixture.log_weights, axis=1)
    constants = np.array([associative_memory.vmf_log_normalizer(k, D) for k in mixture.concentrations])
    false = special.softmax(np.log(factored) + constants, axis=1)
    return {
        "identity_gap": np.abs(weights - factored).max(),
        "mixture_gap": np.abs(weights - mixture.responsibilities(unit)).max(),
        "unweighted_gap": np.abs(weights - false).max(),
    }
