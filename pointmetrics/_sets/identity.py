"""Tell whether a function is the one that a checkpoint was made with, whatever process made it.

The digest covers the code, defaults, what is closed over or bound, the state of instances and the globals
that are used. What lies in other modules' globals goes by its name, and so do functions of this package.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from operator import attrgetter
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from pointmetrics._clouds.libraries import loaded

_PACKAGE = __name__.partition(".")[0]
# Made in C with the class, whose name stands for them.
_NATIVE = (
    ClassMethodDescriptorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))


def identify(metric: Callable[..., Any], name: str | None) -> str:
    """Return what distinguishes a function from others: the ``name`` given to it, or a digest of its parts."""
    if name is not None:
        return f"named {name}"
    try:
        return f"function {_Walk().result(metric)}"
    except Exception as error:  # whatever a stranger's object raises when it is taken apart
        raise ValueError(
            f"a checkpoint must know its metric, and {metric!r} cannot be compared with another "
            f"({type(error).__name__}: {error}): pass a metric_name that stands for it and its "
            f"parameters"
        ) from error


class _Walk:
    """Digest everything that a function depends on.

    What is shared counts as often as it is met: whether two equal constants are one object differs between processes.
    """

    def __init__(self) -> None:
        self.open = [hashlib.sha256()]  # of the value at hand and those that hold it
        self.path: list[int] = []  # their ids
        self.known: dict[int, tuple[str, Any]] = {}  # digests of values, which are kept so that their ids stay theirs

    def result(self, value: Any) -> str:
        """Return the digest of a value of any kind."""
        if type(value) in _PLAIN:
            return f"{type(value).__name__} {value!r}"
        if id(value) in self.path:
            return f"within itself, {len(self.path) - self.path.index(id(value))} up"
        if id(value) not in self.known:
            self.path.append(id(value))
            self.open.append(hashlib.sha256())
            self._take_in(value)
            self.path.pop()
            self.known[id(value)] = self.open.pop().hexdigest(), value
        return self.known[id(value)][0]

    def _take_in(self, value: Any) -> None:
        self._parts(f"{type(value).__module__}.{type(value).__qualname__}")
        torch = loaded("torch")
        if type(value) in _CONTAINERS:
            _CONTAINERS[type(value)](self, value)
        elif torch is not None and isinstance(value, torch.Tensor):
            plain = value.detach().cpu()
            self._parts(str(value.dtype), (plain.double() if plain.is_floating_point() else plain).numpy())
        else:
            take = next((take for kinds, take in _TAKERS if isinstance(value, kinds)), _Walk._object)
            take(self, value)

    def _parts(self, *parts: Any) -> None:
        for part in parts:
            text = self.result(part).encode()
            self.open[-1].update(f"{len(text)} ".encode() + text)

    def _sequence(self, value: Any) -> None:
        self._parts(len(value), *value)

    def _unordered(self, values: Any) -> None:
        self._sequence(sorted(self.result(value) for value in values))

    def _dict(self, value: dict[Any, Any]) -> None:
        self._unordered(value.items())

    def _ordered_dict(self, value: dict[Any, Any]) -> None:
        self._sequence(list(value.items()))

    def _array(self, value: np.ndarray) -> None:
        if value.dtype.hasobject:
            self._parts(value.shape, value.tolist())
        else:
            self._parts(value.dtype.str, value.shape, value.tobytes())

    def _named(self, value: Any) -> None:
        self._parts(getattr(value, "__module__", None), getattr(value, "__qualname__", None) or value.__name__)

    def _builtin(self, value: BuiltinFunctionType) -> None:
        self._named(value)
        if value.__self__ is not None and not isinstance(value.__self__, ModuleType):
            self._parts(value.__self__)

    def _code(self, value: CodeType) -> None:
        self._parts(value.co_code, value.co_names, value.co_varnames, value.co_freevars, value.co_consts)

    def _function(self, value: FunctionType) -> None:
        if (value.__module__ or "").partition(".")[0] == _PACKAGE and _is_found(value, value.__qualname__):
            self._named(value)
            return
        self._parts(value.__code__, value.__defaults__, value.__kwdefaults__)
        attributes = {name: part for name, part in vars(value).items() if name != "__wrapped__"}
        if attributes:
            self._parts("attributes", attributes)
        for cell in value.__closure__ or ():
            try:
                self._parts("cell", cell.cell_contents)
            except ValueError:  # not yet filled
                self._parts("empty cell")
        for name in sorted({name for code in _codes(value.__code__) for name in code.co_names}):
            if name in value.__globals__:
                self._parts(name)
                self._global(value.__globals__[name], value.__module__)

    def _global(self, value: Any, module: str | None) -> None:
        if isinstance(value, (FunctionType, type)) and value.__module__ != module:
            self._named(value)
        else:
            self._parts(value)

    def _class(self, value: type) -> None:
        self._named(value)
        for base in value.__mro__:
            if base.__module__ == value.__module__ and base.__module__ != "builtins":
                for name, part in sorted(_members(base).items()):
                    self._parts(name)
                    self._global(part, base.__module__)

    def _by_name(self, value: Any, name: str) -> None:
        """Trust the name of what has no parts to look at, where it is found under it."""
        if isinstance(getattr(value, "__wrapped__", None), FunctionType):
            self._parts(value.__wrapped__)  # as functools.cache makes them
        elif _is_found(value, getattr(value, "__qualname__", name)):
            self._parts(value.__module__, getattr(value, "__qualname__", name))
        else:
            raise TypeError(f"{value!r} is not found by its name")

    def _ufunc(self, value: np.ufunc) -> None:
        if getattr(np, value.__name__, None) is not value:
            raise TypeError(f"{value!r} is none of numpy's own")
        self._parts(value.__name__)

    def _object(self, value: Any) -> None:
        self._class(type(value))
        reduced = value.__reduce_ex__(4)
        if isinstance(reduced, str):
            self._by_name(value, reduced)
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        self._named(make)
        self._parts(arguments, state, None if items is None else list(items))
        self._dict({} if pairs is None else dict(pairs))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes(part)


def _members(kind: type) -> dict[str, Any]:
    """Return what a class itself defines: methods, properties, constants, whatever its instances may look up in it."""
    return {
        name: part
        for name, part in vars(kind).items()
        # Beside methods, names with two underscores are the interpreter's records: documentation, annotations.
        if not isinstance(part, _NATIVE)
        and name != "_abc_impl"
        and (not name.startswith("__") or callable(part) or isinstance(part, (staticmethod, classmethod)))
    }


def _is_found(value: Any, name: str) -> bool:
    """Tell whether a module has a value under its (qualified) name."""
    try:
        return attrgetter(name)(sys.modules.get(value.__module__)) is value
    except AttributeError:  # such as of what is local to a function
        return False


_TAKERS: list[tuple[Any, Callable[[_Walk, Any], None]]] = [
    (FunctionType, _Walk._function),
    (functools.partial, lambda walk, p: walk._parts(p.func, p.args, p.keywords)),
    (MethodType, lambda walk, m: walk._parts(m.__func__, m.__self__)),
    (BuiltinFunctionType, _Walk._builtin),
    (CodeType, _Walk._code),
    (ModuleType, lambda walk, m: walk._parts(m.__name__)),
    (type, _Walk._class),
    ((staticmethod, classmethod), lambda walk, m: walk._parts(m.__func__)),
    (property, lambda walk, p: walk._parts(p.fget)),
    (functools.cached_property, lambda walk, p: walk._parts(p.func)),
    (functools.partialmethod, lambda walk, p: walk._parts(p.func, p.args, p.keywords)),
    (re.Pattern, lambda walk, p: walk._parts(p.pattern, p.flags)),
    (OrderedDict, _Walk._ordered_dict),
    (MappingProxyType, lambda walk, m: walk._dict(dict(m))),
    (np.ndarray, _Walk._array),
    (np.generic, lambda walk, v: walk._array(np.asarray(v))),
    (np.ufunc, _Walk._ufunc),
]
# Of these exactly: a class of one's own may have more to it.
_CONTAINERS: dict[type, Callable[[_Walk, Any], None]] = {
    list: _Walk._sequence,
    tuple: _Walk._sequence,
    dict: _Walk._dict,
    set: _Walk._unordered,
    frozenset: _Walk._unordered,
}
