"""Owns finding the endpoint of a path. Refuses regular expressions and guesses: a path is one endpoint's or nobody's.

Segments are split before they are percent-decoded, so that an encoded slash stays within its segment.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from workflow_router.api.endpoint import PARAMETER, Endpoint


class Found(NamedTuple):
    """The endpoints of a path by method, and the values of its parameters. Empty where there is none."""

    methods: Mapping[str, Endpoint]
    parameters: Mapping[str, str]


class _Node:
    def __init__(self) -> None:
        self.inner: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.methods: dict[str, Endpoint] = {}


_NOWHERE = Found({}, {})


class Routes:
    """The table of endpoints, indexed. A fixed segment goes before a parameter."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._exact: dict[str, Found] = {}
        self._root = _Node()
        for one in endpoints:
            node = self._root
            for segment in one.path.split("/"):
                if PARAMETER.fullmatch(segment):
                    node.any = node = node.any or _Node()
                else:
                    node = node.inner.setdefault(segment, _Node())
            if one.method in node.methods:
                raise ValueError(f"{one.method} {one.path} is declared twice.")
            node.methods[one.method] = one
            if one.method == "GET":
                node.methods.setdefault("HEAD", one)
            if not one.parameters:
                self._exact[one.path] = Found(node.methods, {})

    def find(self, raw_path: str) -> Found:
        """The endpoints of a path as it stands in the request."""
        found = self._exact.get(raw_path)
        if found is not None:
            return found
        node = self._root
        values: list[str] = []
        for segment in raw_path.split("/"):
            fixed = node.inner.get(segment)
            if fixed is None:
                if node.any is None or not segment:
                    return _NOWHERE
                fixed = node.any
                values.append(unquote(segment))
            node = fixed
        if not node.methods:
            return _NOWHERE
        one = next(iter(node.methods.values()))
        return Found(node.methods, dict(zip(one.parameters, values, strict=True)))
