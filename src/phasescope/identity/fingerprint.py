"""``fingerprint``: one hash of everything about a thing that can change a number.

Functions are read as compiled code with their closures, defaults and the globals that they name; objects by their
class and every attribute; arrays by their bytes; networks by all of that, submodule by submodule. Code of libraries is
told by its version, the house's by the files that it imports. What can not be told, such as an open file, is refused.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import sys
import types
import typing
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.identity import arrays, modules
from phasescope.identity import code as codes
from phasescope.identity.networks import backend, network_parts, of_compiling, refused_network
from phasescope.identity.objects import Untold, attributes, class_token, hashed, is_plain, reduced, token
from phasescope.identity.origins import Origin, full_name, origin_of
from phasescope.identity.spaces import PLAIN, cell_of, space
from phasescope.vocabulary import BadInput

# of a class: what Python and its helpers keep there, which no method reads as a number
_KEPT = {
    "__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__annotate__",
    "__annotations_cache__", "__abstractmethods__", "__parameters__", "__orig_bases__", "__match_args__",
    "__signature__", "__firstlineno__", "__static_attributes__", "__dataclass_params__", "__dataclass_fields__",
    "__attrs_attrs__", "__type_params__", "__slotnames__",
}  # fmt: skip
_CACHE = "__dynamo_disable"  # where torch keeps a copy of a function of its own that was called once
_KEPT_BEGIN = ("_abc_", "__pydantic_", "__private_attributes", "__class_vars")
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType,
                types.MethodDescriptorType, types.ClassMethodDescriptorType, types.MethodWrapperType)  # fmt: skip


def fingerprint(*things: Any, weights: bool = True, known: dict[int, tuple[Any, bytes]] | None = None) -> str:
    """Return a hash (32 hex digits) of everything about ``things`` that can change a number; equal in every process.

    ``weights=False`` leaves out the values of parameters and buffers of networks, not their names, shapes and dtypes.
    ``known`` keeps the hashes of arrays by their identity, for many calls about the same arrays, none of which may
    change in between.

    Raises ``BadInput`` for what can not be told: open files, live connections, iterators, random generators, networks
    on the meta device. An object whose class has ``describe()`` is told by that for such attributes.

    >>> def scaled(x, by=2): return by * x
    >>> one = fingerprint(scaled); scaled.__defaults__ = (3,); one == fingerprint(scaled)
    False
    """
    walk = _Walk(weights, {} if known is None else known)
    total = hashlib.blake2b(digest_size=16)
    try:
        for thing in things:
            total.update(walk.of(thing))
    except Untold as untold:
        raise BadInput(_sentence(untold)) from None
    except RecursionError:
        raise BadInput("a value is nested too deeply for its parts to be told apart: keep it flatter.") from None
    return total.hexdigest()


class _Walk:
    """One walk over things and all that they refer to. Things met again are told by when they were met first."""

    def __init__(self, weights: bool, known: dict[int, tuple[Any, bytes]]) -> None:
        self.weights, self.known = weights, known
        self.met: dict[int, tuple[int, Any]] = {}
        self.root: Any = None  # the first network, whose tensors have all been met
        self.read: set[str] = set()
        self.storages: dict[int, int] = {}

    def of(self, value: Any, place: str = "") -> bytes:
        """Return the hash of ``value``; ``place`` is how a sentence names it."""
        kind = type(value)
        if kind in PLAIN:
            return hashed(kind.__name__, written(value))
        if kind is tuple:
            return hashed("tuple", *(self.of(part, f"{place}[{i}]") for i, part in enumerate(value)))
        if kind is frozenset:
            return self._set(value)
        if id(value) in self.met:
            return self._again(value)
        self.met[id(value)] = (len(self.met), value)  # kept alive: another object may not take its place in memory
        try:
            return self._compound(value)
        except Untold as untold:
            if place:
                untold.places.insert(0, place)
            raise

    def _again(self, value: Any) -> bytes:
        return hashed("again", str(self.met[id(value)][0]).encode())

    def _compound(self, value: Any) -> bytes:
        if any(str(base.__module__).startswith(("random", "numpy.random")) for base in type(value).__mro__):
            if value is getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None):
                return hashed("numpy's shared generator")  # which a draw would move: seen where data are drawn twice
            raise _a_generator(value)
        for kinds, rule in _RULES:
            if isinstance(value, kinds):
                found: bytes = getattr(self, rule)(value)
                return found
        torch = sys.modules.get("torch")
        if torch is not None:
            if isinstance(value, torch.nn.Module):
                return self._network(value)
            if isinstance(value, torch.Tensor):
                return self._tensor(value)
            if isinstance(value, torch.Generator):
                raise _a_generator(value)
            if isinstance(value, torch.jit.ScriptFunction):
                raise Untold("a scripted function", "pass the Python function that it was made from")
        return self._object(value)

    # -- containers and arrays -----------------------------------------------------------------------------------------

    def _list(self, value: Any) -> bytes:
        return hashed(type(value).__name__, *(self.of(part, f"[{i}]") for i, part in enumerate(value)))

    def _set(self, value: Any) -> bytes:
        # each by itself: a set has another order in every process, and with it what is met first
        return hashed("set", *sorted(_Walk(self.weights, self.known).of(part, "{}") for part in value))

    def _mapping(self, value: Mapping[Any, Any]) -> bytes:
        # in its order, which a network that goes through its layers follows
        if all(type(key) in PLAIN for key in value):
            return hashed("dict", *self.pairs(value, "[{!r}]"))
        return hashed("pairs", *(self.of(part, f"[{key!r}]") for key, held in value.items() for part in (key, held)))

    def pairs(self, held: Mapping[Any, Any], place: str = ".{}", spared: bool = False) -> list[bytes]:
        """Return the hashes of values by plain names, in their order; plain values stand in one, since they are many.

        ``spared`` leaves out values that can not be told.
        """
        plain: list[tuple[Any, ...]] = []
        parts = []
        for name, value in held.items():
            if type(value) in PLAIN or (type(value) is tuple and all(type(part) in PLAIN for part in value)):
                plain.append((name, value))
                continue
            plain.append((name,))
            try:
                parts.append(self.of(value, place.format(name)))
            except Untold:
                if not spared:
                    raise
                plain.append(())
        return [written(plain), *parts]

    def _array(self, value: Any) -> bytes:
        return arrays.array_hash(self, value)

    def _tensor(self, value: Any) -> bytes:
        return arrays.tensor_hash(self, value)

    # -- code ----------------------------------------------------------------------------------------------------------

    def _function(self, f: types.FunctionType) -> bytes:
        modules.refuse_hidden(f)
        origin = origin_of(f)
        compiled = f.__dict__.get("_torchdynamo_orig_callable")
        if compiled is not None and origin is Origin.LIBRARY:
            cells = dict(zip(f.__code__.co_freevars, map(cell_of, f.__closure__ or ()), strict=True))
            return hashed("compiled", self.of(compiled), self.of(backend(cells.get("self"))))
        name = f"`{f.__qualname__}`"
        held = [cell_of(cell) for cell in f.__closure__ or ()]
        inner = [
            *(self.of(value, f"what {name} holds") for value in held),
            self.of(f.__defaults__, f"the defaults of {name}"),
            self._mapping(f.__kwdefaults__ or {}),
            self._mapping({name: value for name, value in f.__dict__.items() if name != _CACHE}),
        ]
        if origin is not Origin.USER:
            # the code too: two lambdas of one file have one name
            return hashed(
                "function", token(origin, f.__module__ or "", f.__qualname__), codes.digest(f.__code__), *inner
            )
        modules.refuse_blind(f.__code__)
        parts = [modules.named(self, f, path) for path in codes.named(f.__code__)]
        parts += [
            modules.imported(self, modules.package_of(f.__globals__), what) for what in codes.imported(f.__code__)
        ]
        return hashed("function", codes.digest(f.__code__), *inner, *parts, *modules.of_the_shell(f.__code__))

    def _module(self, module: types.ModuleType) -> bytes:
        return modules.module_hash(self, module)

    def _class(self, cls: type) -> bytes:
        parts = [hashed("class", full_name(cls).encode())]
        for base in cls.__mro__:
            if origin_of(base) is not Origin.USER:
                held = space(base)
                parts += [class_token(base), held.told]
                parts += [hashed(name, self.of(value, f"`{base.__qualname__}.{name}`")) for name, value in held.own]
                parts += self.pairs(dict(held.kept), spared=True) if held.kept else []
            elif id(base) in self.met and base is not cls:
                parts.append(self._again(base))
            else:
                self.met.setdefault(id(base), (len(self.met), base))
                parts += self._own_class(base)
        if type(cls) not in (type, abc.ABCMeta):
            parts.append(self.of(type(cls)))
        return hashed("type", *parts)

    def _own_class(self, cls: type) -> list[bytes]:
        """Return the hashes of what a user's class holds itself."""
        held = {k: v for k, v in vars(cls).items() if k not in _KEPT and not k.startswith(_KEPT_BEGIN)}
        parts = [hashed(k, self.of(v, f"`{cls.__qualname__}.{k}`")) for k, v in sorted(held.items())]
        parts += self.pairs(dict(vars(cls).get("__annotations__", {})), spared=True)
        more = {name: field.metadata for name, field in vars(cls).get("__dataclass_fields__", {}).items()}
        return [*parts, self._mapping(more)] if any(more.values()) else parts

    # -- objects -------------------------------------------------------------------------------------------------------

    def _object(self, value: Any) -> bytes:
        cls: Any = type(value)
        if cls.__module__ == "typing" or isinstance(value, types.GenericAlias | types.UnionType):
            kind, held = typing.get_origin(value), typing.get_args(value)
            return hashed("typing", self.of(kind) + self.of(held) if kind is not None else repr(value).encode())
        if cls.__module__.startswith("numba.") and hasattr(value, "py_func"):  # what it compiled so far says no more
            return hashed("compiled", self.of(value.py_func), self.of(dict(getattr(value, "targetoptions", {}))))
        if cls.__module__ == "torch._ops":
            modules.refuse_operator(str(getattr(value, "_qualified_op_name", value)).split("::")[0])
            return hashed("operator", str(value).encode())
        parts = [self.of(cls)]
        described = origin_of(cls) is not Origin.LIBRARY and callable(getattr(cls, "describe", None))
        if described:
            parts.append(self.of(dict(value.describe()), f"describe() of {cls.__qualname__}"))
        # a library's object says itself what it is, when it is copied; of a user's, every attribute counts
        if origin_of(cls) is not Origin.LIBRARY:
            parts += self.pairs(attributes(value), spared=described)
        parts += self._content(value)
        if not is_plain(cls) and not (described and origin_of(cls) is Origin.USER):
            parts += [self.of(part) for part in reduced(value)]
        return hashed("object", *parts)

    def _content(self, value: Any) -> list[bytes]:
        """Return the hashes of what an object of a class derived from a container or a number holds as such."""
        if isinstance(value, dict):
            return [self._mapping(value)]
        if isinstance(value, list | tuple):
            return [self._list(list(value))]
        if isinstance(value, set | frozenset):
            return [self._set(value)]
        for base in (bool, int, float, complex, str, bytes):
            if isinstance(value, base):
                return [hashed(base.__name__, _spelled_as(base, value))]
        return []

    def _network(self, module: Any) -> bytes:
        inner, mend = refused_network(module)
        if mend:
            raise Untold(inner, mend)
        if inner is not module:
            return hashed("compiled", self.of(inner), self.of(of_compiling(module)))
        tensors, held = network_parts(module)
        if not self.weights and (
            self.root is None or any(t is not None and id(t) not in self.met for t in tensors.values())
        ):
            # a list of parameters beside the parameters says no more than which they are
            self.root = module
            for tensor in (*module.parameters(), *module.buffers()):
                self.met.setdefault(id(tensor), (len(self.met), tensor))
        parts = [self.of(type(module))]
        described = origin_of(type(module)) is Origin.USER and callable(getattr(type(module), "describe", None))
        if described:
            parts.append(self.of(dict(module.describe()), "describe()"))
        if self.weights:
            parts += self.pairs(tensors)
        else:
            parts += self._forms(tensors)
        return hashed("network", *parts, *self.pairs(held, spared=described))

    def _forms(self, tensors: dict[str, Any]) -> list[bytes]:
        """Return the hashes of tensors without their values; which they are says what is tied to what."""
        there = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        forms = [
            (name, t if t is None else (self.met[id(t)][0], *arrays.place(self, t))) for name, t in tensors.items()
        ]
        return [written(forms), *(part for t in there.values() for part in arrays.more_of_tensor(self, t))]

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _partial(self, value: Any) -> bytes:
        return hashed("partial", self.of(value.func), self.of(value.args), self._mapping(value.keywords))

    def _method(self, value: Any) -> bytes:
        return hashed("method", self.of(value.__func__), self.of(value.__self__))

    def _property(self, value: Any) -> bytes:
        return hashed("property", *(self.of(f) for f in (value.fget, value.fset, value.fdel)))

    def _wrapped(self, value: Any) -> bytes:
        return hashed(type(value).__name__, self.of(value.__wrapped__))

    def _cached(self, value: Any) -> bytes:
        return hashed("cached", self.of(value.func))

    def _weak(self, value: Any) -> bytes:
        return hashed("weak", self.of(value()))

    def _compiled_name(self, value: Any) -> bytes:
        modules.refuse_hidden(value)
        owner = getattr(value, "__self__", None)
        held = b"" if owner is None or isinstance(owner, types.ModuleType) else self.of(owner)
        home = str(getattr(value, "__module__", None) or "builtins")
        objclass = str(getattr(value, "__objclass__", ""))
        return hashed("compiled name", token(Origin.LIBRARY, home, value.__name__), objclass.encode(), held)

    def _scalar(self, value: Any) -> bytes:
        return hashed("scalar", value.dtype.str.encode(), repr(value).encode())


def _spelled_as(base: Any, value: Any) -> bytes:
    text = format(int.__pos__(value), "x") if base is int else base.__repr__(value)  # not by a method of its own
    return str(text).encode("utf-8", "surrogatepass")


def written(value: Any) -> bytes:
    """Return the text of plain values."""
    return codes.spelled(value).encode("utf-8", "surrogatepass")


# by name, so that the law's saboteurs can put a wrong one in its place
_RULES: tuple[tuple[Any, str], ...] = (
    (types.FunctionType, "_function"),
    (types.MethodType, "_method"),
    (functools.partial, "_partial"),
    (functools._lru_cache_wrapper, "_wrapped"),
    ((staticmethod, classmethod), "_wrapped"),
    (functools.cached_property, "_cached"),
    (property, "_property"),
    (type, "_class"),
    (types.ModuleType, "_module"),
    ((types.BuiltinFunctionType, *_DESCRIPTORS), "_compiled_name"),
    (np.ndarray, "_array"),
    (np.generic, "_scalar"),
    (types.MappingProxyType, "_mapping"),
    (weakref.ref, "_weak"),
)


def _a_generator(value: Any) -> Untold:
    mend = "keep its seed and make it where it is used, or draw from the streams that are handed in"
    return Untold(f"a random generator ({type(value).__name__}), whose draws depend on what was drawn before", mend)


def _sentence(untold: Untold) -> str:
    place = untold.places[-1].strip(" .,") if untold.places else "it"
    return (
        f"{place} is {untold.what}: what it does to the numbers can not be told from outside, so no record of them "
        f"could be trusted; {untold.mend}."
    )
