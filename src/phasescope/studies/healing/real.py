"""What ``healing`` measures of a real language model, whole and without its nearest block, on one draw of text."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope import layers
from phasescope.evaluation import evaluate
from phasescope.inspection.folder import load_folder, load_tokenizer
from phasescope.lab.speaker import in_parts
from phasescope.layers.stack import sharing
from phasescope.store import Store
from phasescope.store.data import SETS, data_home, set_or_path, state_of
from phasescope.studies.healing.settings import NEAREST, PARTS, WHOLE
from phasescope.vocabulary import BadInput, Generators, Member

ASKED = ("capitals", "glosses")
_loading = threading.Lock()  # members are measured on several threads


@dataclass(frozen=True)
class Loaded:
    """A model in float32 with its tokenizer, and two texts cut into samples (N, T) of its tokens."""

    model: nn.Module
    tokenizer: Any
    text: Tensor
    elsewhere: Tensor


def _loaded(model: str, text: str, elsewhere: str, length: int) -> Loaded:
    return _read(
        model, text, elsewhere, length, tuple(state_of(set_or_path(name)) for name in (model, text, elsewhere))
    )


@lru_cache(maxsize=2)
def _read(model: str, text: str, elsewhere: str, length: int, _state: object) -> Loaded:
    folder = set_or_path(model)
    if not (folder / "config.json").is_file():
        raise BadInput(
            f"model is {model!r}: give smollm2 or a folder of Hugging Face with config.json and safetensors."
        )
    tokenizer = load_tokenizer(folder, "healing")
    rows = []
    for name in (text, elsewhere):
        if not set_or_path(name).exists():
            raise BadInput(f"a text is {name!r}: give a text file, a folder, or a data set of {', '.join(SETS)}.")
        rows.append(layers.samples(layers.read_texts(set_or_path(name)), tokenizer, length=length).ids)
    return Loaded(load_folder(folder, torch.float32).eval(), tokenizer, rows[0], rows[1])


def real(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Leave out the nearest block, give it and the whole model the same steps, and read and ask all four."""
    with _loading:
        name, text, other = (str(member[key]) for key in ("model", "text", "elsewhere"))
        loaded = _loaded(name, text, other, int(member["length"]))
    model = sharing(loaded.model)  # hooks of one thread must not hear another's passes
    tests, n, steps, batch = (int(member[name]) for name in ("tests", "gone", "heal_steps", "heal_batch"))
    order = torch.from_numpy(generators("samples").permutation(len(loaded.text)))
    there = torch.from_numpy(generators("samples elsewhere").permutation(len(loaded.elsewhere))[:tests])
    here, known, elsewhere = loaded.text[order[:tests]], loaded.text[order[tests:]], loaded.elsewhere[there]
    known = known[: steps * batch]
    start = layers.distances(model, here).best(n)
    models = {WHOLE: model, NEAREST: layers.without(model, start, n)}
    seed = int(generators("healing").integers(2**31))
    numbers: dict[str, Any] = {"rank": int(member["rank"]), "rate": float(member["heal_rate"])}
    numbers |= {"batch": batch, "seed": seed}
    name = hashlib.sha256(f"{sorted(member.knobs.items())} {seed}".encode()).hexdigest()[:16]
    with Store(data_home().parent / "healing" / name) as store:  # what was stopped goes on where it was
        healed = {name: layers.heal(one, known, steps, keeper=store, **numbers) for name, one in models.items()}
        every = [*models.values(), *(found.model for found in healed.values())]
        tables = [np.array([layers.losses(one, rows).mean for one in every]) for rows in (here, elsewhere)]
        found = evaluate(
            {str(i): (one, loaded.tokenizer) for i, one in enumerate(every)}, ASKED, ["accuracy", "ece"],
            limit=int(member["questions"]), seed=int(generators("questions").integers(2**31)),
        )  # fmt: skip
        for one in healed.values():
            store.drop_checkpoint(one.identity)
    value = found.data.value.isel(draw=0)
    return {
        "start": float(start),
        "loss": tables[0].reshape(2, 2),
        "loss_elsewhere": tables[1].reshape(2, 2),
        "curve": np.array([in_parts(one.training, PARTS) for one in healed.values()]),
        **{name: value.sel(metric=name).transpose("model", "scenario").values.reshape(2, 2, len(ASKED))
           for name in ("accuracy", "ece")},
    }  # fmt: skip
