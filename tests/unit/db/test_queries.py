"""The `.sql` files: the same names on both sides, each one used, and safe to be put off where they are."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import apsw
import pytest
from apsw.ext import query_info  # pyright: ignore[reportUnknownVariableType]  its stubs leave the type of blobs unknown

import workflow_router.db
from workflow_router.db.migrate import load_migrations
from workflow_router.db.named_queries import load_queries
from workflow_router.db.postgres.session import Query

DB = Path(workflow_router.db.__path__[0])
PYTHON = "\n".join(path.read_text() for path in sorted(DB.rglob("*.py")))

LEASED = {"claim_shards", "renew_shards", "note_member", "live_members", "forget_dead_members", "shards_that_know"}


class _Asked(Protocol):
    """What is used of `apsw.ext.QueryDetails`."""

    bindings_names: tuple[str, ...]


_Run: TypeAlias = Callable[[str], object]
_Ask: TypeAlias = Callable[[apsw.Connection, str], _Asked]


def test_both_databases_have_the_same_queries_with_the_same_values() -> None:
    sqlite, postgres = ({name: Query(text) for name, text in load_queries(d).items()} for d in ("sqlite", "postgres"))
    assert sqlite.keys() == postgres.keys()
    # Leases run by PostgreSQL's own clock.
    for name in sqlite.keys() - LEASED:
        assert set(sqlite[name].names) == set(postgres[name].names), name


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_every_query_is_used(dialect: str) -> None:
    unused = [name for name in load_queries(dialect) if f'"{name}"' not in PYTHON]
    assert unused == []


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_what_is_put_off_touches_one_table_and_reads_no_other(dialect: str) -> None:
    put_off = set(re.findall(r'\.(?:execute|execute_many|change)\(\s*"([a-z_]+)"', PYTHON))
    assert {"insert_step", "insert_run", "move_audit_head"} <= put_off
    queries = {name: Query(text) for name, text in load_queries(dialect).items()}
    for name in put_off - {"savepoint", "rollback_to_savepoint", "release_savepoint", "create_migrations"}:
        if dialect == "sqlite" and queries[name].alone:  # it is run where it is called, after what was put off
            continue
        tables = re.findall(r"\b(?:INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN) (?!SET\b)(\w+)", queries[name].text)
        assert set(tables) - {"generate_series", "clock_timestamp", "unnest", "json_array_elements_text"} == {
            queries[name].table
        }, name


def test_values_are_bound_in_the_order_in_which_sqlite_numbers_them() -> None:
    with closing(apsw.Connection(":memory:")) as database:
        run, ask = cast("_Run", database.execute), cast("_Ask", query_info)
        run(load_queries("sqlite")["create_migrations"])
        for migration in load_migrations("sqlite"):
            run(migration.sql)
        for name, text in load_queries("sqlite").items():
            assert ask(database, text).bindings_names == Query(text).names, name


def test_a_change_says_whether_it_landed_as_its_database_tells_it() -> None:
    sqlite, postgres = load_queries("sqlite"), load_queries("postgres")
    changes = re.findall(r'\.change\(\s*"([a-z_]+)"', PYTHON)
    assert "insert_run" in changes
    for name in changes:  # SQLite counts the rows of a statement that has ended, which one that returns rows has not
        assert ("RETURNING" in sqlite[name], "RETURNING" in postgres[name]) == (False, True), name


def test_values_become_numbers_and_casts_stay() -> None:
    query = Query("UPDATE t SET a = :a, b = :b::text, c = :a WHERE d = 'x'::text")
    assert (query.sql, query.names, query.table) == (
        "UPDATE t SET a = $1, b = $2::text, c = $1 WHERE d = 'x'::text",
        ("a", "b"),
        "t",
    )
    assert query.bind({"b": 2, "a": 1, "more": 3}) == (1, 2)
    with pytest.raises(KeyError):
        query.bind({"a": 1})


def test_rows_that_are_put_off_together_are_one_statement() -> None:
    insert = Query("INSERT INTO t (a, b) VALUES (:a, 'x') ON CONFLICT (a) DO NOTHING RETURNING a")
    assert insert.over(["text"]) == (
        "INSERT INTO t (a, b) SELECT given.v1, 'x' FROM unnest($1::text[]) AS given (v1)"
        " ON CONFLICT (a) DO NOTHING RETURNING a"
    )
    update = Query("UPDATE t SET a = :a WHERE b = :b RETURNING b")
    assert update.over(["text", "int8"]) == (
        "UPDATE t SET a = given.v1 FROM unnest($1::text[], $2::int8[]) AS given (v1, v2) WHERE b = given.v2 RETURNING b"
    )
    delete = Query("DELETE FROM t WHERE a = :a")
    assert delete.over(["text"]) == "DELETE FROM t USING unnest($1::text[]) AS given (v1) WHERE a = given.v1"
    one_by_one = [
        "UPDATE t SET a = :a WHERE b = :b",
        "INSERT INTO t (a) VALUES (:a) ON CONFLICT (a) DO UPDATE SET a = 1",
    ]
    assert [Query(text).many for text in one_by_one] == [None, None]
