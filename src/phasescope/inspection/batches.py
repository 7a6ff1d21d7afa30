"""What comes in for a user's own model: arrays as tensors, in the model's precision; and errors of the user's code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phasescope.checks import readable, refuse_strange
from phasescope.vocabulary import BadInput

HOUSE, LIBRARIES = Path(__file__).parents[1], (Path(torch.__file__).parents[1], Path(traceback.__file__).parent)


def fitted(batch: Any, module: nn.Module) -> Any:
    """Return ``batch`` with its arrays as tensors on the module's device, floats in a precision that the module has.

    Whole numbers of arrays become int64. Raises ``BadInput`` for arrays of no numbers, and for NaN, with its row; an
    infinity is refused where the batch is one tensor, for masks of attention hold some.
    """
    if isinstance(batch, tuple):
        return tuple(_part(part, module, f"part {i} of the batch") for i, part in enumerate(batch))
    if isinstance(batch, Mapping):
        return {name: _part(part, module, f"{name!r} of the batch") for name, part in batch.items()}
    return _part(batch, module, "the batch", finite=True)


def _part(value: Any, module: nn.Module, name: str, *, finite: bool = False) -> Any:
    given = isinstance(value, np.ndarray)
    tensor = _tensor(value, name) if given else value
    if not isinstance(tensor, Tensor):
        return value
    refuse_strange(name, tensor)
    floats = [p for p in module.parameters() if p.is_floating_point()]
    place = floats[0].device if floats and given and not floats[0].is_meta else tensor.device
    if not tensor.is_floating_point():
        return tensor.to(place)
    wrong = ~torch.isfinite(tensor) if finite else torch.isnan(tensor)
    if bool(wrong.any()):
        at = tuple(torch.nonzero(wrong)[0].tolist())
        row = f" in row {at[0]}" if at else ""
        raise BadInput(f"{name} holds {tensor[at].item()}{row}: give finite numbers; mend or leave out such rows.")
    kinds = [p.dtype for p in floats]
    return tensor.to(place, kinds[0] if kinds and tensor.dtype not in kinds else tensor.dtype)


def _tensor(values: Any, name: str) -> Tensor:
    array = readable(name, values)
    if array.dtype.kind not in "biufc":
        raise BadInput(f"{name} is an array of type {array.dtype}: give numbers.")
    kind = np.dtype(np.int64) if array.dtype.kind in "iu" else array.dtype.newbyteorder("=")
    kind = np.dtype(np.float64) if kind == np.longdouble else kind
    return torch.from_numpy(np.array(array, dtype=kind, order="C"))


@contextmanager
def users_code(what: str, *, always: bool = True) -> Iterator[None]:
    """Say in one sentence, as ``BadInput``, what code of the user's raises: its own words, its file and line.

    Without ``always``, only where such code had a hand in it; all else is a fault of ours, and raised as it is.
    """
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # a user's code may raise whatever it likes
        where = _users_line(error)
        if not where and not always:
            raise
        said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())[:150]
        raise BadInput(
            f"{what} raises {type(error).__name__}{f': {said}' if said else ''}{where}. Mend it there."
        ) from error


def _users_line(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_users(frame.filename):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
        if Path(frame.filename).is_relative_to(HOUSE):  # ours, called by the user's
            break
    return ""


def _is_users(file: str) -> bool:
    path = Path(file)
    return path.suffix == ".py" and not any(path.is_relative_to(home) for home in (HOUSE, *LIBRARIES))
