"""Owns the other side of a CPU-bound step: a process that reads requests from its input and answers on its output.

It finds functions by module and name, and reads arguments by their annotations. Refuses pickle; what the function
prints goes to standard error.
"""

import importlib
import importlib.util
import inspect
import os
import struct
import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, BinaryIO, cast, get_type_hints

import msgspec

from workflow_router.utils.codec import Codec, to_json, told

_LENGTH = struct.Struct(">I")


class Request(msgspec.Struct):
    """One call. `path` is where the module was loaded from, for those that cannot be imported by name."""

    module: str
    name: str
    path: str | None
    args: list[object]
    kwargs: dict[str, object]


class Received(msgspec.Struct):
    """The same as it comes in: arguments stay JSON until their types are known."""

    module: str
    name: str
    path: str | None
    args: list[msgspec.Raw]
    kwargs: dict[str, msgspec.Raw]


class Answer(msgspec.Struct, omit_defaults=True):
    """JSON of the result, or the type and text of what was raised."""

    output: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    message: str = ""
    retry_after_s: float | None = None


def _load(name: str, path: str | None) -> ModuleType:
    if name not in {"__main__", "__mp_main__"}:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            if path is None:
                raise
    spec = None if path is None else importlib.util.spec_from_file_location("__mp_main__", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"The module {name} has no file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["__mp_main__"] = module
    spec.loader.exec_module(module)
    return module


@cache
def _function(module: str, path: str | None, name: str) -> tuple[Callable[..., object], inspect.Signature, Codec]:
    found: Any = _load(module, path)
    for part in name.split("."):
        found = getattr(found, part)
    function = cast("Callable[..., object]", inspect.unwrap(found))
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    typed = [one.replace(annotation=Codec(hints.get(one.name, Any))) for one in signature.parameters.values()]
    return function, signature.replace(parameters=typed), Codec(hints.get("return", Any))


def _call(request: Received) -> bytes:
    function, signature, codec = _function(request.module, request.path, request.name)
    bound = signature.bind(*request.args, **request.kwargs)
    for name, raw in bound.arguments.items():
        reader: Codec = signature.parameters[name].annotation
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            bound.arguments[name] = tuple(reader.decode(bytes(one)) for one in raw)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            bound.arguments[name] = {key: reader.decode(bytes(one)) for key, one in raw.items()}
        else:
            bound.arguments[name] = reader.decode(bytes(raw))
    return codec.encode(function(*bound.args, **bound.kwargs))


def answer(text: bytes) -> bytes:
    """Do what a request says; returns the JSON of an `Answer`."""
    try:
        done = Answer(output=msgspec.Raw(_call(msgspec.json.decode(text, type=Received))))
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the function raises is told to the other side
        after = getattr(error, "retry_after_s", None)
        done = Answer(
            error=type(error).__name__,
            message=told(error),
            retry_after_s=float(after) if isinstance(after, int | float) else None,
        )
    return to_json(done)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer requests until the other side is gone."""
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        said = answer(source.read(length))
        sink.write(_LENGTH.pack(len(said)) + said)
        sink.flush()


if __name__ == "__main__":
    own_output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the function prints must not get between the answers
    serve(sys.stdin.buffer, own_output)
