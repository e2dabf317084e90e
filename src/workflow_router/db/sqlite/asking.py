"""Owns questions in SQL to the views of an SQLite store. Refuses, by the database itself, anything but reading them."""

import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import quote

import apsw

from workflow_router.core.errors import InvalidInput, StoreUnavailable
from workflow_router.db.asked import REFUSED_REMEDY, VIEWS, Answer
from workflow_router.db.named_queries import load_queries

_STEPS_BETWEEN_LOOKS = 10_000
_INNER = ("sqlite_", "pragma_")


class _Cursor(Protocol):
    """What is used of `apsw.Cursor`, whose stubs leave the type of blobs unknown."""

    exec_trace: Callable[["_Cursor", str, object], bool] | None

    def execute(self, statements: str, /) -> Iterator[tuple[object, ...]]: ...
    def get_description(self) -> tuple[tuple[str, object], ...]: ...


def _allowed(
    tables: Collection[str],
    operation: int,
    first: str | None,
    second: str | None,
    _database: str | None,
    view: str | None,
) -> int:
    if operation in {apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE}:
        return apsw.SQLITE_OK
    if operation == apsw.SQLITE_FUNCTION and second != "load_extension":
        return apsw.SQLITE_OK
    # What a view itself reads is told with the view's name.
    if operation == apsw.SQLITE_READ and (first in VIEWS or view in VIEWS):
        return apsw.SQLITE_OK
    # Counting the rows of a part of the question reads no column; no table is such a part.
    named = (first or "").lower()
    if operation == apsw.SQLITE_READ and not second and named not in tables and not named.startswith(_INNER):
        return apsw.SQLITE_OK
    return apsw.SQLITE_DENY


def ask_sqlite(path: Path, question: str, *, limit: int, timeout_s: float) -> Answer:
    """The first rows of the answer. Raises InvalidInput, StoreUnavailable."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    try:
        connection = apsw.Connection(f"file:{quote(str(path.absolute()))}?mode=ro", flags=flags)
    except apsw.Error as error:
        raise StoreUnavailable(f"The store cannot be read: {error}.", remedy="Check the file's URL.") from error
    try:
        cursor = cast("_Cursor", connection.cursor())
        list(cursor.execute("PRAGMA query_only = 1"))
        tables = {str(name).lower() for (name,) in cursor.execute(load_queries("sqlite")["asked_relations"])}
        until = time.monotonic() + timeout_s
        connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
        connection.authorizer = partial(_allowed, tables)
        names: list[str] = []
        rows: list[tuple[object, ...]] = []
        begun = 0

        def begin(at: _Cursor, _statement: str, _values: object) -> bool:
            """Learn the columns before the first row, as there may be none; only one statement may begin."""
            nonlocal begun
            begun += 1
            names.extend(str(column[0]) for column in at.get_description())
            return begun == 1

        cursor.exec_trace = begin
        answered = cursor.execute(question)
        for row in answered:
            if len(rows) == limit:
                return Answer(names, rows, cut=True)
            rows.append(tuple(row))
        return Answer(names, rows, cut=False)
    except apsw.InterruptError as error:
        raise InvalidInput(
            f"It took longer than {timeout_s:g} s.", remedy="Ask for less, or give --timeout."
        ) from error
    except apsw.Error as error:
        raise InvalidInput(f"The store refused it: {error}.", remedy=REFUSED_REMEDY) from error
    finally:
        connection.close()
