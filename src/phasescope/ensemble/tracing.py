"""A training step traced once and run without Python: the same kernels, called by torch's C++ interpreter.

``traced`` runs a function of tensors once, writes down every operation that torch carries out, and hands the list to
the TorchScript interpreter as a graph. It holds no lock of Python's and spends no time between operations. What Python
itself did on the way is frozen, so whoever uses a trace compares it with the function first (``choice.guard``). This is
the one file that leans on interfaces that torch does not promise; where one is gone, ``Untraceable`` is raised, and
training goes on without a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

#: How TorchScript's own numbers for dtypes, layouts and memory formats are asked for is not public: they are few.
CODES = {
    torch.uint8: 0, torch.int8: 1, torch.int16: 2, torch.int32: 3, torch.int64: 4, torch.float16: 5, torch.float32: 6,
    torch.float64: 7, torch.bool: 11, torch.bfloat16: 15, torch.strided: 0, torch.contiguous_format: 0,
    torch.preserve_format: 1, torch.channels_last: 2,
}  # fmt: skip


class Untraceable(Exception):
    """What a step does can not be written down; the message says what."""


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down the operations on tensors of the calling thread."""

    def __init__(self, exact: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []  # kept alive: ids name tensors
        self.exact = exact

    def _detour(self, func: Any, args: Sequence[Any]) -> Callable[..., Any] | None:
        """Return another way to what an operation gives, where there is one that is faster."""
        if func is POOL and _slow(args[0]):
            return _pool
        if (
            func is EMBEDDED
            and args[0].device.type == "cpu"
            and args[1].numel() * 8 >= args[2]
            and args[3:] == (-1, False)
        ):
            return _embedded
        groups = args[8 if func is CONV else 9] if func in (CONV, BACK) else 1
        if self.exact or groups == 1 or not all(_slow(x) for x in args[: 1 if func is CONV else 2]):
            return None
        return _grouped if func is CONV else _grouped_back

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        detour = self._detour(func, args)
        if detour is not None:
            with self:
                return detour(func, *args, **(kwargs or {}))
        out = func(*args, **(kwargs or {}))
        if not _tensors_only(out):
            raise Untraceable(f"{func} gives a number to Python, so that a value may decide what is computed")
        if torch.Tag.nondeterministic_seeded in func.tags and not _no_dropout(func, args, kwargs or {}):
            raise Untraceable(f"{func} draws random numbers")
        self.calls.append((func, args, dict(kwargs or {}), out))
        return out


def _no_dropout(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether an operation that may drop at random, such as attention, is told to drop nothing."""
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return "dropout_p" in names and not given.get("dropout_p", 0.0)


def _slow(x: Tensor) -> bool:
    """Whether pictures (N, C, H, W) lie in memory channel by channel, for which torch's kernels on a CPU are slow."""
    return x.device.type == "cpu" and x.dim() == 4 and x.is_contiguous() and min(x.shape[1:]) > 1


def _pool(func: Any, x: Tensor, *how: Any, **named: Any) -> tuple[Tensor, ...]:
    """Take maxima pixel by pixel: the same numbers and places, two to four times as fast, copies included."""
    found = func(torch.ops.aten.clone(x, memory_format=torch.channels_last), *how, **named)
    return tuple(torch.ops.aten.clone(part, memory_format=torch.contiguous_format) for part in found)


def _grouped(func: Any, x: Tensor, *how: Any, **named: Any) -> Tensor:
    """Convolve in groups, the networks of a tile, pixel by pixel."""
    found: Tensor = func(torch.ops.aten.clone(x, memory_format=torch.channels_last), *how, **named)
    return found


def _grouped_back(func: Any, upper: Tensor, x: Tensor, *how: Any, **named: Any) -> Any:
    pixels = [torch.ops.aten.clone(part, memory_format=torch.channels_last) for part in (upper, x)]
    return func(*pixels, *how, **named)


def _embedded(func: Any, upper: Tensor, index: Tensor, rows: int, *how: Any) -> Tensor:
    """Add the gradients of an embedding row by row: the same bits, two to five times as fast where rows recur."""
    ops, width = torch.ops.aten, upper.shape[-1]
    empty = ops.new_zeros(upper, [rows, width])
    found: Tensor = ops.index_add(empty, 0, ops.reshape(index, [-1]), ops.reshape(upper, [-1, width]))
    return found


POOL, CONV, BACK, EMBEDDED = (
    getattr(torch.ops.aten, name).default
    for name in ("max_pool2d_with_indices", "convolution", "convolution_backward", "embedding_dense_backward")
)


def _tensors_only(out: Any) -> bool:
    several = out if isinstance(out, tuple | list) else [out]
    return all(isinstance(value, Tensor) or value is None for value in several)


class _Graph:
    """A TorchScript graph under construction; ``names`` knows the value of each tensor that has been met."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.graph: Any = torch._C.Graph()
        self.names: dict[int, Any] = {}
        self.captured: list[Tensor] = []
        self.inputs = [self._input(tensor) for tensor in inputs]

    def _input(self, tensor: Tensor) -> Any:
        value = self.graph.addInput()
        value.setType(torch._C.TensorType.get())
        self.names[id(tensor)] = value
        return value

    def tensor(self, tensor: Tensor) -> Any:
        """Return the value of a tensor: one that no call made is captured, such as a constant of the network."""
        if id(tensor) not in self.names:
            self.captured.append(tensor)
            return self._input(tensor)
        return self.names[id(tensor)]

    def _node(self, kind: str, values: Sequence[Any], types: Sequence[Any]) -> list[Any]:
        node = self.graph.insertNode(self.graph.create(kind, list(values), len(types)))
        outputs = list(node.outputs())
        for value, typ in zip(outputs, types, strict=True):
            value.setType(typ)
        return outputs

    def argument(self, value: Any, typ: Any) -> Any:
        """Return a value of the graph for an argument of the type that an operation's schema names."""
        if isinstance(value, Tensor):
            return self.tensor(value)
        if typ.kind() == "TensorType" and isinstance(value, bool | int | float):  # a number that vmap made no tensor of
            return self.tensor(torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None))
        if value is None:
            return self.graph.insertConstant(None)
        if typ.kind() == "OptionalType":
            return self.argument(value, typ.getElementType())
        if typ.kind() == "ListType":
            inner = typ.getElementType()
            several = list(value) if isinstance(value, list | tuple) else [value]
            whole = inner.kind() in ("NumberType", "SymIntType")
            listed = torch._C.ListType(torch._C.IntType.get() if whole else inner)
            return self._node("prim::ListConstruct", [self.argument(one, inner) for one in several], [listed])[0]
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format) and value in CODES:
            return self.graph.insertConstant(CODES[value])
        if isinstance(value, int) and not isinstance(value, bool) and typ.kind() == "FloatType":
            return self.graph.insertConstant(float(value))
        if isinstance(value, bool | int | float | str | torch.device):
            return self.graph.insertConstant(value)
        raise Untraceable(f"an operation takes {type(value).__name__}")

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Add one call, and make its results known."""
        schema, values = func._schema, []
        for place, a in enumerate(schema.arguments):
            given = args[place] if place < len(args) else kwargs.get(a.name, a.default_value)
            values.append(self.argument(given, a.type))
        tensor = torch._C.TensorType.get()
        if len(schema.returns) == 1 and schema.returns[0].type.kind() == "ListType":
            made = self._node(schema.name, values, [torch._C.ListType(tensor)])
            results, several = self._node("prim::ListUnpack", made, [tensor] * len(out)), out
        else:
            results = self._node(schema.name, values, [tensor] * len(schema.returns))
            several = out if isinstance(out, tuple | list) else [out]
        for value, result in zip(results, several, strict=True):
            if isinstance(result, Tensor):
                self.names[id(result)] = value

    def end(self, results: Sequence[Any]) -> None:
        """Let the graph return ``results`` as a tuple."""
        typ = torch._C.TupleType([torch._C.TensorType.get()] * len(results))
        self.graph.registerOutput(self._node("prim::TupleConstruct", results, [typ])[0])
        self.graph.lint()


def traced(
    function: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor], *, exact: bool = True
) -> Callable[..., tuple[Tensor, ...]]:
    """Return ``function(*examples)`` as one call of torch's interpreter, for tensors of the examples' shapes.

    ``function`` takes and returns tensors alone; it is run once. Raises ``Untraceable`` where what it does can not be
    written down: a value that decides what is computed, random numbers, operations that torch's interpreter lacks.
    Unless ``exact``, some operations are done by kernels that agree with torch's choice only to rounding.
    """
    tape = _Tape(exact)
    try:
        with torch.no_grad(), tape:
            outputs = list(function(*examples))
        graph = _Graph(examples)
        for call in tape.calls:
            graph.call(*call)
        results = [graph.tensor(out) for out in outputs]
        graph.end(results)
        run = torch._C._create_function_from_graph("step", graph.graph)
        captured = list(graph.captured)
        run(*examples, *captured)
    except (RuntimeError, NotImplementedError, AttributeError, TypeError, ValueError, KeyError) as error:
        # torch's words for what its transforms and its interpreter can not do, and for an interface that is gone
        raise Untraceable(" ".join(str(error).split())[:200]) from error
    return (lambda *tensors: run(*tensors, *captured)) if captured else run
