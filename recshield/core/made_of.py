"""What a compiled function is made of: its code, and the code and values that it names."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from numbers import Number
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

#: Whose functions are known by their names: their versions are another's concern.
_KNOWN = ("builtins", "llvmlite", "math", "numba", "numpy", "torch")


def parts_of(function: Callable[..., Any]) -> Iterator[bytes]:
    """Yield what a function does as it is loaded now: bytes that are the same in every process.

    It is followed through the functions, compiled or not, that it names, in modules, tuples and closures as well.
    What only Numba knows of, an overload of a plain function for one, is not seen.

    Args:
        function: one in Python, or the dispatcher or intrinsic that Numba made of one.
    """
    yield from _value(function, frozenset(), set())


def _value(value: object, names: frozenset[str], seen: set[int]) -> Iterator[bytes]:
    """Yield what a value is; of a module, what it holds under these names."""
    inner = _function(value)
    if inner is not None:
        yield f"def {inner.__module__}.{inner.__qualname__};".encode()
        if id(inner) not in seen and (inner.__module__ or "").split(".")[0] not in _KNOWN:
            seen.add(id(inner))
            yield from _of_function(inner, seen)
    elif isinstance(value, ModuleType):
        yield f"module {value.__name__};".encode()
        if value.__name__.split(".")[0] not in _KNOWN:
            held = vars(value)
            for name in sorted(names & held.keys()):
                yield f"{name}:".encode()
                yield from _value(held[name], names - {name}, seen)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype.str}{value.shape}".encode() + value.tobytes()
    elif isinstance(value, tuple | list):
        yield f"{type(value).__name__} of {len(value)}:".encode()
        for one in value:
            yield from _value(one, names, seen)
    elif isinstance(value, enum.EnumType):
        members: dict[str, Any] = dict(value.__members__)
        yield repr({name: member.value for name, member in members.items()}).encode()
    elif value is None or isinstance(value, Number | str | bytes | np.generic | enum.Enum):
        yield f"{value!r};".encode()
    else:
        made = value if isinstance(value, type) else type(value)
        yield f"{made.__module__}.{made.__qualname__};".encode()


def _function(value: object) -> FunctionType | None:
    """Return the function in Python that a value is, or was compiled from."""
    if isinstance(value, FunctionType):
        return value
    if type(value).__module__.split(".")[0] == "numba":
        held = getattr(value, "py_func", None) or getattr(value, "_defn", None)
        return held if isinstance(held, FunctionType) else None
    return None


def _of_function(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    """Yield the code of a function, and what its names and its closure stand for."""
    names: set[str] = set()
    yield from _of_code(function.__code__, names)
    yield from _value(function.__defaults__, frozenset(), seen)
    for name in sorted(names & function.__globals__.keys()):
        yield f"{name}=".encode()
        yield from _value(function.__globals__[name], frozenset(names), seen)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield f"{name}=".encode()
        yield from _value(cell.cell_contents, frozenset(names), seen)


def _of_code(code: CodeType, names: set[str]) -> Iterator[bytes]:
    """Yield what code does, that of functions inside it too, and add the names that it uses."""
    names.update(code.co_names)
    yield code.co_code + repr((code.co_names, code.co_varnames, code.co_freevars)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _of_code(constant, names)
        else:
            held = sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
            yield f"{held!r};".encode()
