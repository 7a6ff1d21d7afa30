"""The door of the command line: how a command ends, whatever stops it. Imports nothing that takes time.

A signal is met by a thread that waits for it, also while the main thread imports, compiles, or is deep in someone
else's code, which an exception could not cross safely. It says one sentence and ends the process with code 3: the
store is whole at any moment. Only while members are trained, where ``safe_point`` is passed all the time, the end is
asked for there, so that what has begun is told and kept; that too may take ``PATIENCE`` seconds at most.
"""

from __future__ import annotations

import _thread
import codecs
import contextlib
import io
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import TextIO

from phasescope.errors import BadInput, Interrupted, interruption, shortened, told

BAD_INPUT, INTERRUPTED = 2, 3
NO_MEMORY = "this machine has too little memory for what was asked: choose smaller settings, such as fewer seeds."
PATIENCE = 2.0
"""Seconds that members which have begun may take to stop."""
FRESH = 1.0
"""Seconds after which a safe point that was passed says nothing about the next one."""
_PLAIN = {
    "±": "+-", "≥": ">=", "≤": "<=", "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->",
    "∞": "inf", "²": "^2", "³": "^3", "≈": "~", "✓": "+", "✗": "x", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip


class _State:
    asked = False  # for an end at the next safe point
    over = False  # nothing is left to be interrupted
    passed = float("-inf")  # when a safe point was last passed


def guard() -> None:
    """Meet SIGINT and SIGTERM from now on, and let no terminal and no reader that left stop the work.

    For the process of a command alone; called once, before anything that takes time is imported.
    """
    codecs.register_error("phasescope", _in_plain_letters)
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)
    if sys.platform == "win32":  # Ctrl-C arrives as KeyboardInterrupt there
        return
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    _thread.start_new_thread(_listen, (ear,))


def safe_point() -> None:
    """Note that members are trained, and that the work can be stopped here: raise KeyboardInterrupt if it was asked."""
    _State.passed = time.monotonic()
    if _State.asked:
        raise KeyboardInterrupt


def training_is_over() -> None:
    """Note that no safe point follows soon; raise KeyboardInterrupt if the end was asked for."""
    _State.passed = float("-inf")
    if _State.asked:
        raise KeyboardInterrupt


def ended(work: Callable[[], int]) -> int:
    """Do a command's ``work`` and return its exit code: where it did not end well, after one sentence on stderr.

    A fault of ours is raised as it is.
    """
    try:
        return work()
    except (KeyboardInterrupt, Interrupted) as error:
        return _said(str(error) or interruption(), INTERRUPTED)
    except MemoryError:
        return _said(NO_MEMORY, BAD_INPUT)
    except BadInput as error:
        return _said(str(error), BAD_INPUT)
    except OSError as error:
        return _said(told(error), BAD_INPUT)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # typer's own complaint about a command line
        if usage is not None:
            return _said(shortened(usage()), BAD_INPUT)
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):  # torch's
            return _said(NO_MEMORY, BAD_INPUT)
        raise


def finish(code: int) -> int:
    """Say what is still to be said, and let no signal change the end; return ``code``, or 2 where nobody could hear."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            setattr(sys, name, None)  # or it would be flushed once more at the exit
            code = code or _said(told(error, "the output"), BAD_INPUT)
    _State.over = True
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return code


def _said(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        print(f"phasescope: {sentence}", file=sys.stderr, flush=True)
    return code


def _listen(ear: int) -> None:
    """Wait for a signal; end the process, at once or when no safe point came or a second signal did."""
    os.read(ear, 1)
    if time.monotonic() - _State.passed < FRESH:
        _State.asked = True
        select.select([ear], [], [], PATIENCE)
    if _State.over:
        return
    # a display may have hidden the cursor, and left a line unfinished
    start = "\x1b[?25h\r\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{start}phasescope: {interruption()}\n".encode())
    os._exit(INTERRUPTED)


class _Pipe(io.FileIO):
    """A stream whose reader may leave, as ``head`` does: what nobody reads is dropped, and the work goes on."""

    def write(self, data: object) -> int:
        """Write ``data``, or drop it."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def _lasting(stream: TextIO) -> TextIO:
    """Return the stream again, without a letter or a reader whose lack could stop the work."""
    if stream is None:  # closed by whoever started the process
        return stream
    with contextlib.suppress(OSError, ValueError):
        raw = _Pipe(stream.fileno(), "wb", closefd=False)
        return io.TextIOWrapper(
            io.BufferedWriter(raw), stream.encoding, "phasescope", line_buffering=stream is sys.stderr or raw.isatty()
        )
    return stream


def _in_plain_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what stands for letters that a terminal's encoding lacks: their nearest plain ones, or question marks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    if all("\udc80" <= letter <= "\udcff" for letter in lost):  # bytes of a file's name that are no letters
        return bytes(ord(letter) - 0xDC00 for letter in lost), error.end
    return "".join(_PLAIN.get(letter, "?") for letter in lost), error.end
