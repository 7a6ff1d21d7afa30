"""Texts as embeddings (N, D) for ``ps.dedup``: words, shingles, the last state of a local model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from phasescope.checks import shown, whole
from phasescope.layers.passes import TOKENS, checked, device_of, reading, refuse_meta, states_between, states_of
from phasescope.layers.stack import base_of, stack_of
from phasescope.store import Finished
from phasescope.store.finished import Piece
from phasescope.vocabulary import Array, BadInput

Tell = Callable[[int, int], object]
WORD = r"(?u)\w+|[^\w\s]+"
SHINGLE, BUCKETS = 5, 2**20
CHUNK = 512  # texts whose states are kept together


def tfidf(texts: Sequence[str]) -> Any:
    """Return term frequencies times inverse document frequencies, sparse (N, V): words and runs of signs, lower case.

    As scikit-learn's ``TfidfVectorizer`` makes them, with 1 + log of the frequencies. Raises ``BadInput`` for fewer
    than two texts, and for one without a word or sign, with its number.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = _said(texts)
    return TfidfVectorizer(token_pattern=WORD, sublinear_tf=True, dtype=np.float32).fit_transform(texts)


def shingles(texts: Sequence[str], *, words: int = SHINGLE) -> Any:
    """Return which runs of ``words`` words a text has, as ones in a sparse matrix (N, 2^20) by hashing (MurmurHash3).

    The cosine of two rows is |A and B| / sqrt(|A| |B|); a shorter text is one run. Raises what ``tfidf`` raises.
    """
    from sklearn.feature_extraction.text import FeatureHasher

    words, texts = whole(1, 100)("words", words), _said(texts)
    runs = (_runs(text.lower().split(), words) for text in texts)
    return FeatureHasher(BUCKETS, input_type="string", alternate_sign=False).transform(runs).sign()


def _runs(words: list[str], n: int) -> list[str]:
    return [" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))]


def states(
    texts: Sequence[str], model: nn.Module, tokenizer: Any, *, length: int = 64, out: Path | str | None = None,
    on_progress: Tell | None = None,
) -> Array:  # fmt: skip
    """Return the state of each text's last token behind the last layer (N, D), float32, as the paper does (section 3).

    ``model``: a decoder of ``transformers``, run in evaluation mode without gradients and given back; or an encoder,
    such as a sentence model, of whose tokens the mean is taken (Reimers and Gurevych 2019, arXiv:1908.10084). A text is
    cut after ``length`` tokens. Texts of one length are run together, so nothing is padded. ``out``: a folder in which
    finished texts are kept, 512 at a time. Raises ``BadInput`` for texts without a token, and what ``ps.layers`` does.
    """
    texts, length = _said(texts), whole(2, 10**6)("length", length)
    tell = on_progress or (lambda done, total: None)
    encoded = [tokenizer(text, add_special_tokens=True, truncation=False, verbose=False)["input_ids"] for text in texts]
    tokens = [ids[:length] for ids in encoded]
    empty = next((i for i, ids in enumerate(tokens) if not ids), None)
    if empty is not None:
        raise BadInput(f"text {empty} has no token: leave it out.")
    digest = cache(lambda: _digest(model))  # made once, and only where a folder keeps something
    found = []
    with Finished(out) as finished:
        for start in range(0, len(tokens), CHUNK):
            tell(start, len(tokens))
            part = tokens[start : start + CHUNK]
            arrays, _ = finished.piece(partial(_identity, digest, part), partial(_piece, model, part))
            found.append(arrays["rows"])
    return np.concatenate(found)


def _piece(model: nn.Module, tokens: list[list[int]]) -> Piece:
    return {"rows": _read(model, tokens)}, {}


def _identity(digest: Callable[[], str], tokens: list[list[int]]) -> dict[str, Any]:
    return {"states": 1, "model": digest(), "tokens": hashlib.sha256(str(tokens).encode()).hexdigest()}


def _read(model: nn.Module, tokens: list[list[int]]) -> Array:
    order = sorted(range(len(tokens)), key=lambda i: (len(tokens[i]), i))
    found: dict[int, Array] = {}
    with reading(model):
        read = _means if _is_encoder(model) else _lasts
        for size, group in groupby(order, key=lambda i: len(tokens[i])):
            for rows in _split(list(group), max(1, TOKENS // max(size, 2))):
                values = read(model, [tokens[i] for i in rows])
                found |= dict(zip(rows, values.float().cpu().numpy(), strict=True))
    return np.stack([found[i] for i in range(len(tokens))])


def _lasts(model: nn.Module, tokens: list[list[int]]) -> torch.Tensor:
    """Return the states of the last tokens (B, D) behind the last layer of a decoder."""
    stack, size = stack_of(model), len(tokens[0])
    # a text of one token is read twice: the state of its first token does not see the second
    ids = checked(model, torch.tensor([(ids * 2)[: max(size, 2)] for ids in tokens]))
    with states_between(stack) as between:
        return states_of(model, stack, between, ids.to(device_of(model)))[-1][:, size - 1]


def _is_encoder(model: nn.Module) -> bool:
    """Return whether this is a model of transformers whose first token sees those after it, and that predicts none."""
    config = getattr(model, "config", None)
    if (
        not hasattr(config, "get_text_config")
        or getattr(config, "is_encoder_decoder", False)
        or not hasattr(model, "can_generate")
        or model.can_generate()  # type: ignore[operator]
        or not hasattr(model, "get_input_embeddings")
    ):
        return False
    refuse_meta(model)
    one, other = (_states(model, torch.tensor([[0, second]]))[0, 0] for second in (1, 2))
    return not torch.equal(one, other)


def _states(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the states (B, T, D) behind the last layer of a model without a head. Raises ``BadInput``."""
    kind, base = type(model).__name__, base_of(model)
    whole: Any = model if base is None else base
    try:
        found: torch.Tensor = whole(ids.to(device_of(model))).last_hidden_state
    except (IndexError, RuntimeError) as error:
        raise BadInput(
            f"{kind} can not read {ids.shape[1]} tokens ({type(error).__name__}): give a smaller length."
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise BadInput(f"{kind} gives no states of tokens: give a decoder, or an encoder of texts.") from error
    return found


def _means(model: nn.Module, tokens: list[list[int]]) -> torch.Tensor:
    """Return the means of the states of all tokens (B, D) behind the last layer of an encoder."""
    kind, words = type(model).__name__, int(model.get_input_embeddings().num_embeddings)  # type: ignore[operator]
    ids = torch.tensor(tokens)
    if int(ids.max()) >= words:
        raise BadInput(
            f"a token is {int(ids.max())}, and {kind} knows 0 to {words - 1}: use the model's own tokenizer."
        )
    found: torch.Tensor = _states(model, ids).mean(1)
    return found


def _split(rows: list[int], size: int) -> list[list[int]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _digest(model: nn.Module) -> str:
    found = hashlib.sha256(type(model).__name__.encode())
    for name, value in model.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _said(texts: Sequence[str]) -> list[str]:
    """Return texts, half a surrogate pair in them as a question mark, or raise ``BadInput``."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise BadInput(f"texts are {shown(texts)}: give a list of strings.")
    if len(texts) < 2:
        raise BadInput(f"there is {len(texts)} text: give at least 2.")
    empty = next((i for i, text in enumerate(texts) if not text.strip()), None)
    if empty is not None:
        raise BadInput(f"text {empty} is empty: leave it out, it is like no other.")
    return [text.encode("utf-8", "replace").decode() for text in texts]
