"""The PostgreSQL that other tests lean on: durable, private, and back after SIGKILL."""

from tests.fixtures.postgres import PostgresServer, running_postgres


def test_server_syncs_to_disk(postgres: PostgresServer, postgres_dsn: str) -> None:
    assert postgres.sql("SHOW fsync") == "on"
    assert postgres.sql("SHOW synchronous_commit") == "on"
    assert "host=" in postgres_dsn


def test_databases_are_apart_and_can_be_copies(postgres: PostgresServer) -> None:
    first = postgres.create_database()
    postgres.sql("CREATE TABLE t AS SELECT 7 AS n", first)
    copy, empty = postgres.create_database(first), postgres.create_database()
    assert postgres.sql("SELECT n FROM t", copy) == "7"
    assert postgres.sql("SELECT to_regclass('t')", empty) == ""
    for name in (copy, empty, first):
        postgres.drop_database(name)


def test_committed_rows_survive_kills() -> None:
    with running_postgres() as server:
        server.sql("CREATE TABLE t (n int)")
        for _ in range(3):
            server.sql("INSERT INTO t VALUES (1)")
            server.kill()
            server.start()
        assert server.sql("SELECT count(*) FROM t") == "3"
