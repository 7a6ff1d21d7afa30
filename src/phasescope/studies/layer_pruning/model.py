"""What ``layer-pruning`` measures on a real language model: one member is one draw of text, the model is the same."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope import layers
from phasescope.layers.passes import reading
from phasescope.layers.stack import sharing
from phasescope.store.data import SETS, cached_place, content_hash, data_folder, set_or_path, state_of
from phasescope.studies.layer_pruning.readings import Found, geometry, states_at
from phasescope.studies.layer_pruning.small import text_of
from phasescope.vocabulary import Array, BadInput, Generators, Member

CHOICES = ("nearest", "deepest", "random")
PART = 3  # losses are read on a third of the samples, where only distances need as many
EVERY = 3  # layers between the places whose geometry is read
QUIZ = ("africa", "america", "asia", "europe", "state")
OPTIONS = 4
_loading = threading.Lock()  # members are measured on several threads


@dataclass(frozen=True)
class Loaded:
    """A model in float32 with its tokenizer, and a text cut into samples ``rows`` (N, T) of its tokens."""

    model: nn.Module
    tokenizer: Any
    rows: Tensor


def model_hash(name: str) -> str:
    """Return a hash of a folder; of a data set that of its config and of the start and size of its weights.

    Nothing where it is not there.
    """
    if name not in SETS:
        return content_hash(name)
    digest, folder = hashlib.sha256(), cached_place(name)
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name} {path.stat().st_size}".encode() + file.read(1 << 22))
    return digest.hexdigest()[:16] if folder.is_dir() else ""


def _loaded(name: str, text: str, length: int) -> Loaded:
    return _read(name, text, length, state_of(cached_place(name)), state_of(cached_place(text)) if text else ())


@lru_cache(maxsize=2)
def _read(name: str, text: str, length: int, *_states: object) -> Loaded:
    if find_spec("transformers") is None:
        raise BadInput("a real model needs transformers: pip install 'phasescope[llm]'.")
    folder = set_or_path(name)
    if not (folder / "config.json").is_file():
        raise BadInput(f"model is {name!r}: give smollm2 or a folder of Hugging Face with config.json and safetensors.")
    transformers: Any = import_module("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Loaded(model.eval(), tokenizer, layers.samples([text_of(text)], tokenizer, length=length).ids)


def real(member: Member, generators: Generators) -> Found:
    """Read distances, losses without blocks, healing, answers and geometry of a language model on one draw of text."""
    with _loading:
        loaded = _loaded(str(member["model"]), str(member["text"]), int(member["length"]))
    model = sharing(loaded.model)  # hooks of one thread must not hear another's passes
    count, steps, batch = (int(member[name]) for name in ("samples", "heal_steps", "heal_batch"))
    order = generators("samples").permutation(len(loaded.rows))
    test = loaded.rows[torch.from_numpy(order[:count])]
    known = loaded.rows[torch.from_numpy(order[count : count + steps * batch])]
    some = test[: max(count // PART, 2)]
    found = layers.distances(model, test)
    counts = [int(n) for n in str(member["counts"]).split(",")]
    states = states_at(model, test, range(8, test.shape[1], 4))[::EVERY]
    wrong = known.flatten()[torch.from_numpy(generators("wrong text").permutation(known.numel()))].view(known.shape)
    n = int(member["heal_layers"])
    pruned = layers.without(model, found.best(n), n)
    healing: dict[str, Any] = {"batch": batch, "rank": int(member["rank"]), "rate": float(member["heal_rate"])}
    healed = [layers.losses(layers.heal(pruned, read, steps, **healing).model, some).mean for read in (known, wrong)]
    losses, starts = _chosen(model, some, found, counts, generators)
    return {
        "base": layers.losses(model, some).mean,
        "distance": found.table(range(1, found.depth))[0],
        "fresh": layers.distances(drawn_anew(model, generators), test).table(range(1, found.depth))[0],
        "loss": losses,
        "start": starts,
        "each": _each(model, some, counts[1]),
        "unhealed": layers.losses(pruned, some).mean,
        "healed": np.array(healed),
        "accuracy": _answers(model, loaded.tokenizer, found, [0, *counts], int(member["questions"]), generators),
        **geometry(states, generators("shuffled points").permutation(states.shape[1])),
    }


def drawn_anew(model: nn.Module, generators: Generators) -> nn.Module:
    """Return a copy of ``model`` with weights that nothing has trained.

    Matrices are normal with the std of the config's ``initializer_range``, 0.02 where it has none, as models of Hugging
    Face begin; vectors, which are those of norms, are 1, and biases 0.
    """
    fresh, std = copy.deepcopy(model), float(getattr(model.config, "initializer_range", 0.02))
    g = generators("fresh weights")
    with torch.no_grad():
        for name, p in fresh.named_parameters():
            if p.dim() < 2:
                p.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                p.copy_(torch.from_numpy(std * g.standard_normal(tuple(p.shape), dtype=np.float32)))
    return fresh


def _chosen(
    model: nn.Module, test: Tensor, found: layers.Distances, counts: Sequence[int], generators: Generators
) -> tuple[Array, Array]:
    """Return losses and first layers (CHOICES, counts); the random block is a draw of the seed."""
    losses, starts = (np.full((len(CHOICES), len(counts)), np.nan) for _ in range(2))
    for j, n in enumerate(counts):
        drawn = int(generators("random blocks", n).integers(found.depth - n + 1))
        for i, start in enumerate((found.best(n), layers.deepest(found.depth, n), drawn)):
            starts[i, j] = start
            losses[i, j] = layers.losses(layers.without(model, start, n), test).mean
    return losses, starts


def _each(model: nn.Module, test: Tensor, n: int) -> Array:
    """Return the losses (L - n + 1,) without each block of ``n`` layers."""
    depth = layers.stack_of(model).depth
    return np.array([layers.losses(layers.without(model, start, n), test).mean for start in range(depth - n + 1)])


@lru_cache
def capitals() -> list[tuple[str, str]]:
    """Return (place, capital) of the data set ``capitals``, without those that the quiz writes as patterns.

    Raises ``BadInput`` when it was not fetched.
    """
    pairs = []
    for name in QUIZ:
        for line in (data_folder("capitals") / name).read_text(encoding="utf-8").splitlines():
            fields = line.split(":")
            if len(fields) > 1 and not set("{}[]\\|") & set(fields[1]):
                pairs.append((fields[0].split("|")[0], fields[1]))
    return [pair for pair in dict(pairs).items() if not set("{}[]\\") & set(pair[0])]


def _answers(
    model: nn.Module,
    tokenizer: Any,
    found: layers.Distances,
    counts: Sequence[int],
    questions: int,
    generators: Generators,
) -> Array:
    """Return the share (counts,) of capitals chosen rightly of four, without the nearest block of each size."""
    known, draw = capitals(), generators("questions")
    asked = draw.permutation(len(known))[:questions]
    others = [draw.permutation(np.delete(np.arange(len(known)), i))[: OPTIONS - 1] for i in asked]
    prompts = [f"The capital of {known[i][0]} is" for i in asked for _ in range(OPTIONS)]
    names = [known[k][1] for i, wrong in zip(asked, others, strict=True) for k in (i, *wrong)]
    shares = []
    for n in counts:
        scores = likelihoods(layers.without(model, found.best(n) if n else 0, n), tokenizer, prompts, names)
        shares.append(float((scores.reshape(-1, OPTIONS).argmax(1) == 0).mean()))
    return np.array(shares)


def likelihoods(model: nn.Module, tokenizer: Any, prompts: Sequence[str], answers: Sequence[str]) -> Array:
    """Return the log-likelihood (N,) of each answer after its prompt, in nats per byte of the answer."""
    found = []
    ids = [tokenizer(f"{p} {a}", add_special_tokens=False).input_ids for p, a in zip(prompts, answers, strict=True)]
    heads = [len(tokenizer(p, add_special_tokens=False).input_ids) for p in prompts]
    with reading(model):
        for begin in range(0, len(ids), 32):
            part, head = ids[begin : begin + 32], heads[begin : begin + 32]
            longest = max(map(len, part))
            rows = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in part])  # causal: no part in it
            logs = model(rows, use_cache=False).logits[:, :-1].float().log_softmax(-1)
            each = logs.gather(2, rows[:, 1:, None])[..., 0]
            found += [
                float(each[i, h - 1 : len(row) - 1].sum()) for i, (row, h) in enumerate(zip(part, head, strict=True))
            ]
    return np.asarray(np.array(found) / np.array([len(answer.encode()) for answer in answers]))


def depth_of(name: str) -> int:
    """Return how many layers a model's config says it has; 30, those of SmolLM2-135M, where it is not there."""
    path = cached_place(name) / "config.json"
    return int(json.loads(path.read_text(encoding="utf-8")).get("num_hidden_layers", 30)) if path.is_file() else 30
