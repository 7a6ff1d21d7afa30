"""A model and its tokenizer as this room takes them, and how texts become requests: tokens, and from where on."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phasescope.errors import shown
from phasescope.identity import fingerprint
from phasescope.inspection.folder import beginning, check_text, ids_of, load_folder, load_tokenizer, weight_type
from phasescope.layers import stack_of
from phasescope.layers.passes import device_of, refuse_meta
from phasescope.layers.text import bytes_of
from phasescope.vocabulary import BadInput

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Request:
    """Tokens of a prompt and what follows, and ``start``, the place of the first token that is scored, 1 or more."""

    ids: tuple[int, ...]
    start: int


@dataclass
class Evaluated:
    """A decoder with its tokenizer. ``words`` is how many tokens it knows, ``longest`` how many it takes, or None."""

    name: str
    model: nn.Module
    tokenizer: Any

    def __post_init__(self) -> None:
        config: Any = stack_of(self.model).config
        refuse_meta(self.model)
        self.words = int(config.vocab_size)
        self.longest = getattr(config, "max_position_embeddings", None)
        if not callable(self.tokenizer):
            raise BadInput(
                f"the model {self.name!r} has the tokenizer {shown(self.tokenizer)}: give one of transformers, as "
                "(model, tokenizer)."
            )
        self._begin = beginning(self.tokenizer)
        self._takes = frozenset(inspect.signature(self.model.forward).parameters)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of ``text``, nothing added. Raises ``BadInput`` for tokens that the model has not."""
        check_text("a text", text)
        ids = ids_of(self.tokenizer(text, add_special_tokens=False))
        if ids and not 0 <= min(ids) <= max(ids) < self.words:
            raise BadInput(
                f"the tokenizer of {self.name!r} makes token {max(ids)}, and the model knows 0 to {self.words - 1}: "
                "use the model's own tokenizer."
            )
        return ids

    def beginning(self, text: str) -> list[int]:
        """Return the tokens of ``text`` after what the tokenizer puts before any text."""
        return [*self._begin, *self.tokens(text)]

    def choice(self, prompt: str, choice: str) -> Request:
        """Return the request of ``choice`` after ``prompt`` and a space.

        Both are tokenized together and cut where the prompt's own tokens end, as lm-evaluation-harness does
        (``TemplateLM._encode_pair``), so that a space belongs to the choice.
        """
        head, ids = self.beginning(prompt.rstrip()), self.beginning(f"{prompt} {choice}")
        if len(ids) <= len(head) or not head:
            raise BadInput(
                f"the tokenizer of {self.name!r} leaves nothing of {shown(choice)} after {shown(prompt[-40:])}: "
                "rewrite the question or the choice."
            )
        return self.fitting(ids, len(head), prompt)

    def passage(self, text: str) -> tuple[Request, int]:
        """Return the request of a whole text, and the bytes that are scored.

        Without a token for the beginning or end of texts, of which one goes before, the first token is not scored.
        """
        ids = self.tokens(text)
        before = self._begin or [int(i) for i in self._ends()]
        size = len(text.encode())
        if before:
            return self.fitting([*before, *ids], len(before), text), size
        if len(ids) < 2:
            raise BadInput(f"the passage {shown(text)} has {len(ids)} tokens: give longer ones.")
        return self.fitting(ids, 1, text), size - bytes_of(self.tokenizer, ids[:1])

    def _ends(self) -> list[int]:
        for name in ("bos_token_id", "eos_token_id"):
            known = getattr(self.tokenizer, name, None)
            if isinstance(known, int) and 0 <= known < self.words:
                return [known]
        return []

    def fitting(self, ids: Sequence[int], start: int, what: str) -> Request:
        """Return the request, or raise ``BadInput`` where it is longer than the model takes."""
        if self.longest is not None and len(ids) > self.longest:
            raise BadInput(
                f"{shown(what[:40])}... has {len(ids):,} tokens for {self.name!r}, which takes {self.longest:,}: give "
                "fewer shots, or shorter items."
            )
        return Request(tuple(ids), start)

    def identity(self) -> str:
        """Return a fingerprint of the model, its weights and where it runs; not of the tokenizer: tokens are asked."""
        return f"{fingerprint(self.model)} {device_of(self.model).type}"

    def logits(self, ids: Tensor, mask: Tensor | None, keep: int) -> Tensor:
        """Return the logits (B, keep, V) of the last ``keep`` places of ``ids`` (B, T), right-padded where masked."""
        options: dict[str, Any] = {"use_cache": False}
        if mask is not None and "attention_mask" in self._takes:
            options["attention_mask"] = mask
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = keep
        found: Tensor = self.model(ids, **options).logits
        return found[:, -keep:]


def prepared(name: str, given: Any, device: str = "auto") -> Evaluated:
    """Return a model that is given as a Hugging Face folder or as (module, tokenizer), ready to be run.

    A folder is read in float32, in float64 where its weights are, on CUDA in bfloat16 where they are. A module stays
    where it is. Raises ``BadInput`` for anything else.
    """
    if isinstance(given, Evaluated):
        return given
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], nn.Module):
        return Evaluated(name, *given)
    if isinstance(given, nn.Module):
        raise BadInput(f"the model {name!r} has no tokenizer: give (model, tokenizer), or its folder.")
    if not isinstance(given, str | Path):
        raise BadInput(f"the model {name!r} is {shown(given)}: give a Hugging Face folder, or (model, tokenizer).")
    if device not in DEVICES or (device == "cuda" and not torch.cuda.is_available()):
        raise BadInput(f"device is {shown(device)}, which is not here: give auto, cpu, or cuda where there is one.")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported
    folder, cuda = Path(given), device != "cpu" and torch.cuda.is_available()
    tokenizer = load_tokenizer(folder, "the questions")
    half = cuda and weight_type(folder) == torch.bfloat16
    model = load_folder(folder, torch.bfloat16 if half else None)
    return Evaluated(name, model.to("cuda" if cuda else "cpu").eval(), tokenizer)
