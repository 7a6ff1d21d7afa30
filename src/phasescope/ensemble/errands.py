"""Work that is done elsewhere, seen from the process that asks for it.

The unit of work is a pure function of its arguments. An executor carries code and arguments by its own means; what
comes back is bytes of the safetensors format, errors too, and whoever asked is the only one that writes. A worker that
is lost costs what it was at, which is asked for again.
"""

from __future__ import annotations

import builtins
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy

from phasescope.errors import shown
from phasescope.vocabulary import Array, BadInput

TRIES = 3
FACTS, COMPLEX, RAISED = "facts", "complex", "raised"
Record = tuple[dict[str, Array], dict[str, Any]]


# -- what comes back ---------------------------------------------------------------------------------------------------


def packed(arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> bytes:
    """Return arrays and facts, which JSON can hold, as bytes of the safetensors format."""
    own = {name: np.array(value, order="C") for name, value in arrays.items()}
    pairs = [name for name, value in own.items() if value.dtype.kind == "c"]  # the format has no numbers of 16 bytes
    for name in pairs:
        own[name] = np.stack([own[name].real, own[name].imag])
    return safetensors.numpy.save(own, metadata={FACTS: json.dumps(dict(facts)), COMPLEX: json.dumps(pairs)})


def unpacked(blob: bytes) -> Record:
    """Return what ``packed`` put together."""
    length = int.from_bytes(blob[:8], "little")
    said = json.loads(blob[8 : 8 + length])["__metadata__"]
    arrays = dict(safetensors.numpy.load(blob))
    for name in json.loads(said[COMPLEX]):
        real, imaginary = arrays[name]
        arrays[name] = np.asarray(real + 1j * imaginary)
    return arrays, json.loads(said[FACTS])


def bundled(records: Mapping[str, tuple[Mapping[str, Array], Mapping[str, Any]]], **facts: Any) -> bytes:
    """Return several records, each of arrays and facts, and ``facts`` about all as bytes; no key has a slash."""
    arrays = {f"{key}/{name}": value for key, record in records.items() for name, value in record[0].items()}
    return packed(arrays, {**facts, "of": {key: dict(record[1]) for key, record in records.items()}})


def unbundled(arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> dict[str, Record]:
    """Return the records that ``bundled`` put together."""
    records: dict[str, Record] = {key: ({}, dict(own)) for key, own in facts["of"].items()}
    for name, value in arrays.items():
        key, own_name = name.split("/", 1)
        records[key][0][own_name] = value
    return records


def told(function: Callable[..., bytes], *arguments: Any) -> bytes:
    """Return what ``function`` gives, or what it raised, as bytes.

    An error is told rather than sent: one of a class that only the worker knows could not be put together again.
    """
    try:
        return function(*arguments)
    except Exception as error:
        plain = all(isinstance(value, str | int | float | None) for value in error.args)
        raised = {
            "kind": type(error).__name__,
            "arguments": list(error.args) if plain else [str(error)],
            "said": str(error),
            "traceback": "".join(traceback.format_exception(error)),
        }
        return packed({}, {RAISED: raised})


def heard(blob: bytes) -> Record:
    """Return the record that ``told`` gave; raise what it said was raised, with the traceback from there as a note.

    Python's own errors and ``BadInput`` are of their class, others a ``RuntimeError`` that names it.
    """
    arrays, facts = unpacked(blob)
    if RAISED in facts:
        raise _raised(**facts[RAISED])
    return arrays, facts


def _raised(kind: str, arguments: Sequence[Any], said: str, traceback: str) -> Exception:
    if kind in ("BadInput", "OtherCode"):
        return BadInput(said)
    known = getattr(builtins, kind, None)
    error: Exception = RuntimeError(f"{kind}: {said}")
    if isinstance(known, type) and issubclass(known, Exception):
        try:
            error = known(*arguments)
        except TypeError:
            error.add_note(f"a {kind} can not be made of what it says, so that it is told as a RuntimeError")
    error.add_note(f"where it was raised:\n{traceback.rstrip()}")
    return error


# -- who does it -------------------------------------------------------------------------------------------------------


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Elsewhere:
    """Where work is done: ``executor`` gives the executor, and a new one after the old one broke, if there can be one.

    It is handed ``several`` pieces of work at a time, each of ``seconds`` at least (0: as often as state is kept).
    ``together``: where one worker is lost, so are the others. ``stop`` ends at once what runs.
    """

    executor: Callable[[], Executor]
    several: int
    seconds: float = 0.0
    together: bool = False
    stop: Callable[[], None] = _nothing


@dataclass
class Errand:
    """Something to be done elsewhere: ``function(*arguments)``; ``take`` hears of the arrays and facts that it gave.

    ``take`` returns the arguments of what is to be done next, or None when all is done. ``function`` is pure: where a
    worker is lost, it is called again. Its first argument is the same each time and may be large. ``about`` says what
    is done, such as "training ...".
    """

    function: Callable[..., bytes]
    arguments: tuple[Any, ...]
    take: Callable[[dict[str, Array], dict[str, Any]], tuple[Any, ...] | None]
    about: str
    lost: int = 0


def run_errands(elsewhere: Elsewhere, errands: Sequence[Errand], tell: Callable[[], None]) -> None:
    """Have all errands done; ``tell`` is called while it goes on.

    What a function raises is raised here; what had come back until then is taken, and what runs is ended. Raises
    ``BadInput`` for an errand whose worker was lost ``TRIES`` times in the same piece, and for an executor that takes
    no more work. Where a lost worker takes others with it, those that were lost are tried one by one, so that only the
    one that is the cause is counted.
    """
    waiting, doubted, running = list(reversed(errands)), list[Errand](), dict[Future[bytes], Errand]()
    try:
        while waiting or doubted or running:
            while (doubted and not running) or (waiting and not doubted and len(running) < elsewhere.several):
                errand = (doubted or waiting).pop()
                running[_submitted(elsewhere, errand)] = errand
            done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
            done |= {future for future in running if future.cancelled()}  # by a pool that is shut down: never told of
            if elsewhere.together and any(map(_is_lost, done)):
                done, _ = wait(running, timeout=10.0)
            in_doubt = elsewhere.together and len(running) > 1
            for future in done:
                errand = running.pop(future)
                try:
                    blob = future.result()
                except (BrokenExecutor, CancelledError) as error:
                    (doubted if elsewhere.together else waiting).append(errand)
                    errand.lost += not in_doubt
                    if errand.lost >= TRIES:
                        raise _too_often(errand, error) from None
                    continue
                errand.lost = 0
                following = errand.take(*heard(blob))
                if following is not None:
                    errand.arguments = following
                    waiting.append(errand)
            tell()
    except BaseException:
        _leave(elsewhere, running)
        raise


def _is_lost(future: Future[bytes]) -> bool:
    return future.cancelled() or isinstance(future.exception(), BrokenExecutor)


def _too_often(errand: Errand, error: BaseException) -> BadInput:
    said = " ".join(str(error).split())[:240] or type(error).__name__
    return BadInput(
        f"the worker was lost {TRIES} times in the same piece of work, {errand.about} ({said}): is there enough memory?"
    )


def _submitted(elsewhere: Elsewhere, errand: Errand) -> Future[bytes]:
    """Hand an errand to the executor, and to a new one where it refuses. Raises ``BadInput`` where that does too."""
    first = elsewhere.executor()
    try:
        return _future(first.submit(told, errand.function, *errand.arguments))
    except RuntimeError as error:  # broken ones and those that were shut down raise one
        second = elsewhere.executor()
        if second is first:
            said = " ".join(str(error).split())[:160] or type(error).__name__
            raise BadInput(
                f"the executor takes no more work ({said}): give one that runs; with a store, the same call goes on."
            ) from error
        return _future(second.submit(told, errand.function, *errand.arguments))


def _future(given: Any) -> Future[bytes]:
    """Return what ``submit`` gave. Raises ``BadInput`` where that can not be waited for, such as a cluster's own."""
    if not isinstance(given, Future):
        raise BadInput(
            f"submit of the executor gives {shown(given)}, no concurrent.futures.Future: give an executor, such as "
            "dask's client.get_executor(), or 'slurm'."
        )
    return given


def _leave(elsewhere: Elsewhere, running: Mapping[Future[bytes], Errand]) -> None:
    """End what runs, and take what has come back."""
    stopped = [future.cancel() or future.done() for future in running]
    if not all(stopped):
        elsewhere.stop()
    for future, errand in running.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            arrays, facts = unpacked(future.result())
            if RAISED not in facts:
                errand.take(arrays, facts)


def cut(items: int, elsewhere: Elsewhere, most: int = 64) -> list[range]:
    """Return places of ``items`` in bundles for ``elsewhere``: some for each worker, none of more than ``most``.

    >>> cut(9, Elsewhere(lambda: None, several=1))
    [range(0, 3), range(3, 6), range(6, 9)]
    """
    size = max(min(-(-items // (4 * elsewhere.several)), most), 1)
    return [range(begin, min(begin + size, items)) for begin in range(0, items, size)]
