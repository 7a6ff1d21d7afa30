"""What goes wrong, said in one sentence of reading length. Imports nothing that takes time."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LONGEST, LONGEST_VALUE = 400, 120
_MENDS = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some space and run again",
    errno.EFBIG: "free some space and run again",
    errno.EACCES: "name a place that is yours, or change its rights",
    errno.EPERM: "name a place that is yours, or change its rights",
    errno.EROFS: "name a place that can be written",
    errno.EISDIR: "it is a folder where a file is needed",
    errno.ENOTDIR: "a part of the path is a file where a folder is needed",
    errno.EEXIST: "a file is where a folder is needed",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "look for a misspelt name",
    errno.ELOOP: "its links lead in a circle",
    errno.EIO: "look after the disk that it is on",
}


class BadInput(ValueError):
    """A value that a user gave and can mend: one clear sentence with the value, the range allowed and the mend.

    A sentence of more than 400 characters is cut in its middle, where long values stand, not at its mend. What would
    steer a terminal, in names that others chose, is written as an escape.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(one_line(sentence)))


class _State:
    kept = False


def keeping() -> None:
    """Note that something of this process's work is kept in a store: it was written there, or found."""
    _State.kept = True


def interruption() -> str:
    """Return the sentence of a command that was interrupted: what it kept, if it kept anything, and what to do."""
    if _State.kept:
        return "interrupted; what was finished is kept, and the same command resumes."
    return "interrupted; nothing new was kept, and the same command begins where this one did."


class Interrupted(RuntimeError):
    """A run was stopped before it was complete; what was finished is kept and the same call resumes."""


@contextmanager
def resumable(*, kept: bool = True) -> Iterator[None]:
    """Raise ``Interrupted`` where Ctrl-C meets work that keeps what is finished if ``kept``, whatever it is doing."""
    try:
        yield
    except KeyboardInterrupt:
        some = "what was finished is kept, and the same call resumes" if kept else "nothing is kept without a store"
        raise Interrupted(f"interrupted; {some}.") from None


def one_line(words: str) -> str:
    """Return ``words`` on one line, in which no letter steers a terminal or turns the text about.

    >>> one_line("a" + chr(27) + "[31m, b" + chr(10) + "c")
    'a\\\\x1b[31m, b c'
    """
    if words.isprintable():
        return words
    return "".join(" " if c in "\n\r\t" else repr(c)[1:-1] if _steers(c) else c for c in words)


def _steers(letter: str) -> bool:
    code = ord(letter)
    return code < 32 or 127 <= code < 160 or 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069


def shortened(sentence: str, longest: int = LONGEST) -> str:
    """Return a sentence of at most ``longest`` characters: the middle of a longer one is left out.

    >>> shortened("p is 99999999999999999999999: choose less.", 32)
    'p is 9999 ... 9999: choose less.'
    """
    if len(sentence) <= longest:
        return sentence
    kept = longest - len(" ... ")
    return f"{sentence[: kept // 3].rstrip()} ... {sentence[-(kept - kept // 3) :].lstrip()}"


def unread(error: Exception) -> str:
    """Return why numpy could not read a file, without its advice to open what may run code.

    >>> unread(ValueError("Object arrays cannot be loaded when allow_pickle=False"))
    'it holds Python objects, or no array, and such are never opened'
    """
    words = str(error).strip()
    if "pickle" in words:
        return "it holds Python objects, or no array, and such are never opened"
    return shortened(words.splitlines()[0] if words else type(error).__name__, LONGEST_VALUE).rstrip(". ")


def some(words: Sequence[str], most: int = 3) -> str:
    """Return the first of some words, and how many more there are.

    >>> some(["delay", "phases-gd", "bound", "less-data", "chi"])
    'delay, phases-gd, bound and 2 more'
    """
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = True) -> list[str]:
    """Return the lines of a table for terminals, its first column to the ``left``, all others to the right.

    >>> aligned(["a", "n"], [["one", "10"]]), aligned(["a", "n"], [["one", "10"]], left=False)
    (['a     n', 'one  10'], ['  a   n', 'one  10'])
    """
    cells = [[one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]) if left else first, *others]).rstrip())
    return lines


def sentence(words: str) -> str:
    """Return words with a large first letter, and nothing else changed."""
    return words[:1].upper() + words[1:]


def shown(value: Any) -> str:
    """Return a value of any size as sentences quote it: its ``repr``, the middle left out where it is long.

    >>> shown("seven"), shown(10**5000), shown(max)
    ("'seven'", 'an integer of about 5000 digits', 'the function max')
    """
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        value = value.item()
    elif isinstance(shape, tuple):
        return f"an array of shape {tuple(shape)}"
    if isinstance(value, int) and value.bit_length() > 4 * LONGEST_VALUE:
        return f"an integer of about {value.bit_length() * 30103 // 100000} digits"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    try:
        return shortened(repr(value), LONGEST_VALUE)
    except (ValueError, RecursionError):  # too many digits, or nested too deeply, for Python to write
        return f"a {type(value).__name__} too large to write"


def told(error: OSError, path: Path | str | None = None) -> str:
    """Return the sentence for an error of the system: which file, why, and what to do. An explained one stays as it is.

    ``path`` names the file where the error does not.

    >>> told(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt"))
    'a.txt can not be used (No such file or directory): look for a misspelt name.'
    """
    named = error.filename if error.filename is not None else path
    place = "the output" if named is None else str(named)
    reason = error.strerror or str(error) or type(error).__name__
    if place in reason:
        return shortened(reason if reason.endswith(".") else f"{reason}.")
    mend = _MENDS.get(error.errno or 0)
    return shortened(f"{place} can not be used ({reason}){f': {mend}' if mend else ''}.")
