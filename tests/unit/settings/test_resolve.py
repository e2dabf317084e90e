"""References become values at the time of use, and never show in what is printed."""

from pathlib import Path

import pytest

from workflow_router.core.errors import InvalidProject
from workflow_router.settings import (
    Project,
    load_project,
    mappings_of,
    routes_of,
    secrets_of,
    store_of,
    subscriptions_of,
)

TEXT = """\
name: p
settings: {store: {env: DATABASE_URL, default: sqlite:///data/router.db}}
sources:
  env: {scheme: github, secret: {env: SECRET}}
  file: {scheme: github, secret: {file: secret.txt}}
  inline: {scheme: github, secret: {value: s-inline}}
  both:
    scheme: github
    secret: [{env: NEW}, {env: SECRET}]
routes:
  r:
    targets:
      - name: t
        kind: openai
        url: {env: MODEL_URL}
        key: {file: key.txt}
        model: small
        timeout_s: 3
      - {name: u, kind: http, url: "https://example.com", key: {env: KEY}, weight: 2.5}
    retry: {attempts: 7, first_s: 0.5, max_s: 4}
topics: {t: {max_deliveries: 2, lease_s: 1.5}}
subscriptions:
  - {name: s, topic: t, start: w, filter: {key: [a]}, input: {x: "${ message.body }"}}
  - {name: pull, topic: t, max_deliveries: 9, lease_s: 60}
  - {name: hook, topic: t, route: r, secret: {env: HOOK}, begin: "2026-05-01T00:00:00Z"}
  - {name: told, topic: t, signal: go, workflow: w, begin: beginning, on_failure: park, prefetch: 3}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "router.yaml").write_text(TEXT)
    return load_project(tmp_path, environ={})


def test_secrets_are_read_at_each_use(project: Project) -> None:
    (project.folder / "secret.txt").write_text("s-one\n")
    assert [secret.reveal() for secret in secrets_of(project, "env", environ={"SECRET": " s-env\n"})] == ["s-env"]
    assert [secret.reveal() for secret in secrets_of(project, "file")] == ["s-one"]
    (project.folder / "secret.txt").write_text("s-two")
    assert [secret.reveal() for secret in secrets_of(project, "file")] == ["s-two"]
    assert [secret.reveal() for secret in secrets_of(project, "inline")] == ["s-inline"]


def test_while_a_secret_is_replaced_one_is_enough(project: Project) -> None:
    both = secrets_of(project, "both", environ={"NEW": "n", "SECRET": "o"})
    assert [secret.reveal() for secret in both] == ["n", "o"]
    assert [secret.reveal() for secret in secrets_of(project, "both", environ={"SECRET": "o"})] == ["o"]
    with pytest.raises(InvalidProject) as caught:
        secrets_of(project, "both", environ={})
    assert [mistake.message for mistake in caught.value.mistakes] == [
        "The variable NEW is not set.",
        "The variable SECRET is not set.",
    ]


@pytest.mark.parametrize(("source", "line"), [("env", 4), ("file", 5)])
def test_a_secret_that_cannot_be_had_is_a_mistake_with_its_line(project: Project, source: str, line: int) -> None:
    with pytest.raises(InvalidProject) as caught:
        secrets_of(project, source, environ={})
    assert caught.value.mistakes[0].line == line
    assert caught.value.mistakes[0].remedy


def test_secrets_never_show(project: Project) -> None:
    environ = {"SECRET": "s-hidden"}
    secrets = secrets_of(project, "env", environ=environ) + secrets_of(project, "inline", environ=environ)
    for text in (repr(secrets), f"{secrets[0]}{secrets[1]}", repr(project), repr(project.router)):
        assert "s-hidden" not in text
        assert "s-inline" not in text


def test_the_path_of_the_store_starts_at_the_folder(project: Project) -> None:
    assert store_of(project, environ={}) == f"sqlite:///{project.folder}/data/router.db"
    assert store_of(project, environ={"DATABASE_URL": "postgresql://h/db"}) == "postgresql://h/db"
    assert store_of(project, environ={"DATABASE_URL": "sqlite:////var/router.db"}) == "sqlite:////var/router.db"
    with pytest.raises(InvalidProject, match=r"router\.yaml:2: The store is neither"):
        store_of(project, environ={"DATABASE_URL": "mysql://u:pw@h/db"})


def test_routes_become_those_of_the_dispatcher(project: Project) -> None:
    (route,) = routes_of(project, environ={"MODEL_URL": "http://model:1/v1"})
    first, second = route.targets
    assert (route.name, route.policy, route.retry.attempts) == ("r", "failover", 7)
    assert (route.retry.backoff.first_s, route.retry.backoff.max_s) == (0.5, 4.0)
    assert (first.url, first.model, first.key) == ("http://model:1/v1", "small", f"file:{project.folder / 'key.txt'}")
    assert (first.timeouts.connect_s, first.timeouts.total_s) == (3.0, 3.0)
    assert (second.kind, second.weight, second.key) == ("http", 2.5, "env:KEY")


def test_addresses_that_cannot_be_used_are_mistakes_with_their_line(project: Project) -> None:
    for environ, said in (({}, "MODEL_URL is not set"), ({"MODEL_URL": "model:1"}, "must start with http")):
        with pytest.raises(InvalidProject) as caught:
            routes_of(project, environ=environ)
        assert [mistake.line for mistake in caught.value.mistakes] == [15]
        assert said in caught.value.mistakes[0].message


def test_subscriptions_take_the_limits_of_their_topic_where_they_have_none(project: Project) -> None:
    starting, pulling, hook, told = subscriptions_of(project)
    assert (starting.start, starting.max_deliveries, starting.lease_ms) == ("w", 2, 1500)
    assert (starting.filter, starting.input) == (b'{"key":["a"]}', b'{"x":"${ message.body }"}')
    assert (pulling.start, pulling.filter) == (None, None)
    assert (pulling.max_deliveries, pulling.lease_ms) == (9, 60_000)
    assert (hook.route, hook.secret, hook.begin) == ("r", "env:HOOK", 1_777_593_600_000)
    assert (told.signal, told.workflow, told.begin, told.on_failure, told.prefetch) == (
        "go",
        "w",
        "beginning",
        "park",
        3,
    )


def test_mappings_become_those_of_the_engine(tmp_path: Path) -> None:
    text = """\
name: p
topics: {t: {}}
mappings:
  - {name: a, on: {type: [x]}, when: event.data.n > 1, start: w, input: {n: "${ event.data.n }"}}
  - {name: b, on: {type: [x]}, start: w, disabled: true}
  - {name: c, on: {type: [y]}, publish: {topic: t, key: "k-${ event.data.n }"}}
  - {name: d, on: {type: [z]}, signal: {workflow: w, name: s, key: "k-${ event.data.n }"}}
"""
    (tmp_path / "router.yaml").write_text(text)
    first, third, fourth = mappings_of(load_project(tmp_path))
    scope: dict[str, object] = {"event": {"type": "x", "data": {"n": 2}}}
    assert first.pattern.matches({"type": "x"})
    assert first.condition is not None
    assert first.condition.holds(scope)
    targets = [one.targets[0] for one in (first, third, fourth)]
    assert [(one.does, one.name, one.workflow) for one in targets] == [
        ("start", "w", None),
        ("publish", "t", None),
        ("signal", "s", "w"),
    ]
    assert [one.value.render(scope) for one in targets] == [{"n": 2}] * 3
    assert [one.key and one.key.render(scope) for one in targets] == [None, "k-2", "k-2"]
    (again, *_) = mappings_of(load_project(tmp_path))
    assert again.specification == first.specification
    (tmp_path / "router.yaml").write_text(text.replace("> 1", "> 2"))
    (changed, *_) = mappings_of(load_project(tmp_path))
    assert changed.specification != first.specification
