"""The `.sql` files: the same names on both sides, each one used, and safe to be put off where they are."""

import re
from pathlib import Path

import pytest

import workflow_router.db
from workflow_router.db.named_queries import load_queries
from workflow_router.db.postgres.session import Query

DB = Path(workflow_router.db.__path__[0])
PYTHON = "\n".join(path.read_text() for path in sorted(DB.rglob("*.py")))

LEASED = {"claim_shards", "renew_shards", "note_member", "live_members", "forget_dead_members", "shards_that_know"}


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


def test_what_is_put_off_touches_one_table_and_reads_no_other() -> None:
    put_off = set(re.findall(r'\.(?:execute|execute_many|change)\(\s*"([a-z_]+)"', PYTHON))
    assert {"insert_step", "insert_run", "move_audit_head"} <= put_off
    queries = {name: Query(text) for name, text in load_queries("postgres").items()}
    for name in put_off - {"savepoint", "rollback_to_savepoint", "release_savepoint", "create_migrations"}:
        tables = re.findall(r"\b(?:INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN) (?!SET\b)(\w+)", queries[name].sql)
        assert set(tables) - {"generate_series", "clock_timestamp", "unnest", "json_array_elements_text"} == {
            queries[name].table
        }, name


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
