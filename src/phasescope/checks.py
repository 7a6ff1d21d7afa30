"""What a user can mend: ``BadInput``, and the domains that values are checked against at every public door.

A domain takes the name of a value and the value, and returns it as plain Python, numpy or torch has it, or raises
``BadInput`` with the value, the range allowed and the mend. ``checked`` gives one to each argument of a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from phasescope.errors import BadInput as BadInput
from phasescope.errors import shown as shown

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
Domain = Callable[[str, Any], Any]
LARGE = 1e75  # the fourth power of what is at most so large, or one over it, is still a float64
MOST_CLASSES = 10**6
DEEPEST = 64  # axes of an array in numpy


def plain(value: Any) -> Any:
    """Return Python's number for a number of numpy's or torch's, of any kind without axes; all else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


MANY = 24  # words, beyond which a sentence would be cut


def nearest(name: str, known: Iterable[str], where: str = "") -> str:
    """Return the end of a sentence that names the nearest known word and all of them, if they are not too many for it.

    ``where`` says, in its place, where many are to be found.

    >>> nearest("grokk", ["grokking", "memory"])
    "; did you mean 'grokking'? Known: grokking, memory."
    """
    words = sorted(known)
    close = get_close_matches(str(name)[:100], words, n=1)
    if len(words) > MANY and (close or where):
        return f"; did you mean {close[0]!r}?" if close else f": {where}."
    return (f"; did you mean {close[0]!r}?" if close else ".") + f" Known: {', '.join(words)}."


def number(
    low: float = -LARGE, high: float = LARGE, *, open_low: bool = False, open_high: bool = False, unit: str = ""
) -> Domain:
    """Return the domain of real numbers between ``low`` and ``high``, both included unless open; read as float.

    ``1 / LARGE`` and ``LARGE`` stand for 0 and infinity, and sentences say so where a value is not beyond them.
    """

    def read(name: str, value: Any) -> float:
        found = value if type(value) is float else plain(value)
        # True is no number here; nor is an integer beyond all floats, which float() would not take
        real = isinstance(found, float) or (type(found) is int and found.bit_length() < 1000)
        if not (real and low <= found <= high) or (open_low and found == low) or (open_high and found == high):
            beyond = real and (found > LARGE or found < -LARGE or 0 < found < 1 / LARGE)
            ends = _ends(low, high, open_low, open_high) if not beyond else f" from {low:g} to {high:g}"
            raise BadInput(f"{name} is {shown(value)}: give a finite number{ends}{unit and f', in {unit}'}.")
        return float(found)

    return read


def _ends(low: float, high: float, open_low: bool, open_high: bool) -> str:
    least = "" if low <= -LARGE else " above 0" if low == 1 / LARGE else f" {'above' if open_low else '>='} {low:g}"
    most = "" if high >= LARGE else f" {'below' if open_high else '<='} {high:g}"
    return f"{least} and{most}" if least and most else least or most


def whole(low: int = 0, high: int = 10**15) -> Domain:
    """Return the domain of whole numbers from ``low`` to ``high``, both included; read as int."""

    def read(name: str, value: Any) -> int:
        found = plain(value)
        # a float that is a whole number says what it means; a fraction is never rounded
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if not isinstance(found, int) or isinstance(found, bool) or not low <= found <= high:
            raise BadInput(f"{name} is {shown(value)}: give a whole number from {low:,} to {high:,}.")
        return found

    return read


def word(*known: str) -> Domain:
    """Return the domain of the words ``known``."""

    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise BadInput(f"{name} is {shown(value)}: choose one of {', '.join(known)}.")
        return value

    return read


def text(name: str, value: Any) -> str:
    """Read a string that says something."""
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{name} is {shown(value)}: give a text that is not empty.")
    return value


def flag(name: str, value: Any) -> bool:
    """Read True or False."""
    found = plain(value)
    if not isinstance(found, bool):
        raise BadInput(f"{name} is {shown(value)}: give True or False.")
    return found


def function(name: str, value: Any) -> Any:
    """Read anything that can be called."""
    if not callable(value):
        raise BadInput(f"{name} is {shown(value)}: give a function.")
    return value


def takes(name: str, value: Any, *arguments: str, **keywords: Any) -> Any:
    """Return ``value`` if it is a function that can be called with so many arguments. Raises ``BadInput`` if not.

    What Python can not tell beforehand, of functions compiled elsewhere, is let through.

    >>> takes("f", lambda x: x, "generator", "n")
    Traceback (most recent call last):
    phasescope.errors.BadInput: f is the function <lambda>: it must be a function of (generator, n).
    """
    call = function(name, value)
    try:
        signature(call).bind(*arguments, **keywords)
    except TypeError:
        wanted = ", ".join([*arguments, *keywords])
        raise BadInput(f"{name} is {shown(value)}: it must be a function of ({wanted}).") from None
    except ValueError:
        return call
    return call


def pointwise(name: str, value: Any) -> Any:
    """Read a function of one array."""
    return takes(name, value, "values")


def kind(*classes: type, say: str) -> Domain:
    """Return the domain of objects of ``classes``, which a sentence calls ``say``."""

    def read(name: str, value: Any) -> Any:
        if not isinstance(value, classes):
            raise BadInput(f"{name} is {shown(value)}: give {say}.")
        return value

    return read


def optional(domain: Domain) -> Domain:
    """Return the domain of None and what ``domain`` reads."""
    return lambda name, value: None if value is None else domain(name, value)


def anything(name: str, value: Any) -> Any:
    """Read what the function itself checks."""
    return value


def readable(name: str, values: Any, depth: int = 0) -> Any:
    """Return ``values`` as numpy can read them: tensors on the CPU, dense, without gradients, also those in lists.

    Raises ``BadInput`` for what hides its numbers: masked entries, with their row, and meta, nested, quantized tensors.
    """
    if isinstance(values, list | tuple) and depth < DEEPEST:
        names = (name if depth else f"{name}, row {row}" for row in range(len(values)))
        return [v if type(v) in (int, float) else readable(n, v, depth + 1) for n, v in zip(names, values, strict=True)]
    if hasattr(values, "detach"):
        refuse_strange(name, values)
        values = values.detach().cpu()
        values = (values if str(values.layout) == "torch.strided" else values.to_dense()).resolve_conj().resolve_neg()
        # half precision has no counterpart in numpy
        return (values.float() if values.is_floating_point() and values.dtype.itemsize < 4 else values).numpy()
    if not isinstance(values, np.ma.MaskedArray):
        return values
    hidden = np.argwhere(np.ma.getmaskarray(values))
    if len(hidden):
        place = f"row {hidden[0][0]} is masked" if values.ndim and not depth else "there is a masked entry"
        raise BadInput(f"{name}: {place}, and what is masked has no number; leave such rows out, or fill them.")
    return values.data


def refuse_strange(name: str, tensor: Any) -> None:
    """Raise ``BadInput`` for a torch tensor without numbers that can be read: nested, on meta, or quantized."""
    for kind in ("nested", "meta", "quantized"):
        if getattr(tensor, f"is_{kind}"):
            raise BadInput(f"{name}: a {kind} tensor can not be read; give a plain one, dense and with its numbers.")


def numbers(name: str, values: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Return ``values`` (lists, numpy, torch) as an array of integers or floats of any shape, without a copy if it can.

    Raises ``BadInput`` for what is not one array of real numbers: text, None, ragged lists, complex or boolean numbers.
    """
    try:
        found = np.asarray(readable(name, values))
        # of torch's numbers all become float64
        found = found.astype(np.float64) if hasattr(values, "detach") and found.dtype.kind == "f" else found
    except BadInput:
        raise
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        raise BadInput(f"{name} is {shown(values)}: give an array of numbers, with rows of equal length.") from None
    if found.dtype.kind not in "iuf":
        raise BadInput(f"{name} is {shown(values)}, of type {found.dtype}: give an array of real numbers.")
    return found.astype(np.float64) if found.dtype == np.longdouble else found  # which torch does not know


def array(
    *axes: int, low: float = -LARGE, high: float = LARGE, integer: bool = False, fewest: int = 1, nan: bool = False
) -> Domain:
    """Return the domain of arrays with as many axes as one of ``axes`` says (any number of them for none).

    Read as float64, or int64 with ``integer``. Entries lie from ``low`` to ``high``, NaN only with ``nan``; there are
    at least ``fewest`` of them.
    """
    shapes = " or ".join(map(str, axes))
    low, high = (max(low, -(2.0**62)), min(high, 2.0**62)) if integer else (low, high)
    wanted = f"an array with {shapes} {'axis' if axes == (1,) else 'axes'}" if axes else "a number or an array"
    kinds = "whole numbers" if integer else "numbers"

    def read(name: str, value: Any) -> Any:
        found = numbers(name, value)
        if (axes and found.ndim not in axes) or found.size < fewest:
            more = f" and at least {fewest} entries" if fewest > 1 else ""
            raise BadInput(f"{name} has shape {found.shape}: give {wanted}{more}, none of them empty.")
        if found.dtype.kind == "f":  # float32 has no such ends
            found = found.astype(np.float64, copy=False)
        given = found
        if integer and found.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                found = found.astype(np.int64)
            if not np.array_equal(found, given):
                raise BadInput(f"{name} is {shown(value)}: give whole numbers.")
        right = (given >= low) & (given <= high) | (np.isnan(given) if nan else False)
        if not right.all():
            first = plain(given[np.unravel_index(int(np.argmin(right)), given.shape)])
            ends = _ends(low, high, False, False) if not abs(first) > LARGE else f" from {low:g} to {high:g}"
            raise BadInput(f"{name} has the entry {shown(first)}: give finite {kinds}{ends}.")
        return found.astype(np.int64 if integer else np.float64, copy=False)

    return read


def sequence(name: str, values: Any, most: int) -> list[Any]:
    """Return the 1 to ``most`` values of a list, tuple, range, or array of one axis, as plain Python values.

    Raises ``BadInput`` for text, mappings, sets (which have no order), single values, more axes, and a length outside.
    """
    if hasattr(values, "detach") or isinstance(values, np.ma.MaskedArray):
        values = readable(name, values)
    if isinstance(getattr(values, "shape", None), tuple) and hasattr(values, "tolist") and len(values.shape) == 1:
        few = values[: most + 1].tolist()
    elif isinstance(values, list | tuple | range):
        few = list(values[: most + 1])
    else:
        raise BadInput(f"{name} is {shown(values)}: give a list, such as [0.1, 0.3] (sets: sorted(...)).")
    if not 1 <= len(few) <= most:
        many = "more" if few else "no"
        raise BadInput(f"{name} has {many} values{f' than {most:,}' if few else ''}: give from 1 to {most:,} of them.")
    return [plain(value) for value in few]


def as_points(
    name: str, points: Any, *, axes: Sequence[int] = (2,), least: int = 2, fewest: int = 1, finite: bool = True
) -> Tensor:
    """Return ``points`` (lists, numpy, torch) as a floating tensor; gradients and the device stay.

    Float64 and float32 stay, half precision becomes float32, integers float64. Raises ``BadInput`` for a number of axes
    that ``axes`` does not name (or, where it is empty, below ``least``), an empty axis, fewer than ``fewest`` rows
    along the second last axis, and, if ``finite``, values that are not, with the first row that has one.
    """
    import torch

    found = points if isinstance(points, torch.Tensor) else torch.from_numpy(_own(numbers(name, points)))
    refuse_strange(name, found)
    if found.is_complex() or found.dtype == torch.bool or found.layout != torch.strided:
        raise BadInput(
            f"{name} have type {str(found.dtype).removeprefix('torch.')}: give a dense array of real numbers."
        )
    right = found.ndim in axes if axes else found.ndim >= least
    if not right or 0 in found.shape or (found.ndim > 1 and found.shape[-2] < fewest):
        said = " or ".join(map(str, axes)) if axes else f"at least {least}"
        few = f", at least {fewest} rows" if fewest > 1 else ""
        raise BadInput(f"{name} have shape {tuple(found.shape)}: give {said} axes{few}, none of them empty.")
    if not found.is_floating_point():
        found = found.double()
    elif found.dtype not in (torch.float32, torch.float64):
        found = found.float()
    found = found.contiguous()  # sums take the same order however the numbers lay in memory
    # a sum is finite only where all is; where it overflows, each entry is looked at
    if finite and not bool(torch.isfinite(found.detach().sum())):
        _finite(name, found.detach())
    return found


def _own(values: Any) -> Any:
    # torch takes neither the other byte order, nor negative strides, nor some unsigned integers, nor read-only memory
    return np.array(values, dtype=np.float64 if values.dtype.kind in "iu" else values.dtype.newbyteorder("="))


def _finite(name: str, found: Any) -> None:
    import torch

    wrong = torch.nonzero(~torch.isfinite(found))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        row = f"row {at[-2]}" if found.ndim > 1 else f"entry {at[-1]}"
        raise BadInput(f"{name} have {shown(found[at])} in {row}: give finite numbers; leave such rows out.")


def as_labels(name: str, labels: Any, *, count: int, classes: int | None = None) -> Tensor:
    """Return integer ``labels`` (lists, numpy, torch; any integer type) as int64 (``count``,) from 0 on.

    With ``classes`` they lie below it. Raises ``BadInput`` for other shapes, fractions, and labels out of range, with
    the first row that has one.
    """
    import torch

    found = labels if isinstance(labels, torch.Tensor) else torch.from_numpy(_own(numbers(name, labels)))
    refuse_strange(name, found)
    if found.ndim != 1 or len(found) != count:
        raise BadInput(f"{name} have shape {tuple(found.shape)}: give one label for each of the {count} rows.")
    if found.is_complex() or found.dtype == torch.bool or found.layout != torch.strided:
        raise BadInput(f"{name} have type {str(found.dtype).removeprefix('torch.')}: give whole numbers, dense.")
    read = found.long()
    last = MOST_CLASSES if classes is None else classes - 1
    wrong = torch.nonzero((read < 0) | (read > last) | (read != found if found.is_floating_point() else read != read))
    if len(wrong):
        row = int(wrong[0])
        raise BadInput(f"{name} have {found[row].item():g} in row {row}: labels are whole numbers from 0 to {last:,}.")
    return read


def checked(**domains: Domain) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return the decorator that reads each argument of a function by its domain, once, before the function is called.

    Every argument is named, so that none is forgotten; defaults are taken as they stand.

    >>> @checked(share=number(0, 1))
    ... def rest(share: float) -> float: return 1 - share
    >>> rest(np.float32(0.25))
    0.75
    """

    def decorate(wrapped: Callable[P, R]) -> Callable[P, R]:
        given = [p for p in signature(wrapped).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
        if set(domains) != {p.name for p in given}:
            raise TypeError(f"{wrapped.__qualname__} has arguments {[p.name for p in given]}, domains {list(domains)}")
        reads = [(p.name, domains[p.name]) for p in given if p.kind is not Parameter.KEYWORD_ONLY]

        @wraps(wrapped)
        def inner(*args: P.args, **kwargs: P.kwargs) -> R:
            values: Any = [read(name, value) for (name, read), value in zip(reads, args, strict=False)]
            if len(args) > len(reads):
                values = args  # Python says that there are too many
            named: Any = {n: domains[n](n, value) if n in domains else value for n, value in kwargs.items()}
            return wrapped(*values, **named)

        return inner

    return decorate


def agree(**shapes: tuple[Any, tuple[int | str, ...]]) -> Mapping[str, int]:
    """Return the sizes of named axes over arrays, each given with the letters or sizes of its axes.

    Raises ``BadInput`` where one letter would have two sizes.

    >>> agree(x=(np.zeros((3, 2)), ("N", "D")), w=(np.zeros(2), ("D",)))["D"]
    2
    """
    sizes: dict[str, int] = {}
    for name, (values, axes) in shapes.items():
        for letter, size in zip(axes, values.shape, strict=True):
            wanted = sizes.setdefault(letter, size) if isinstance(letter, str) else letter
            if size != wanted:
                said = ", ".join(
                    f"{other} {tuple(v.shape)} as ({', '.join(map(str, a))})" for other, (v, a) in shapes.items()
                )
                raise BadInput(f"{name} has shape {tuple(values.shape)}, not {letter} = {wanted}: give {said}.")
    return sizes
