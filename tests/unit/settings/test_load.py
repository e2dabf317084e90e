"""A project folder is loaded whole, or all its mistakes are told at once, each with its line and a remedy."""

from pathlib import Path

import pytest

from workflow_router.core.errors import InvalidProject, Mistake
from workflow_router.settings import Project, check_references, load_project

FULL = """\
name: github-triage
settings:
  listen: "[::1]:9000"
  store: postgresql://db/router
  body_max_bytes: 2097152
python: [workflows.py]
sources:
  github: {scheme: github, secret: {env: GITHUB_WEBHOOK_SECRET}}
  shop:
    scheme: stripe
    secret:
      - {file: secrets/new}
      - {env: OLD_SECRET}
mappings:
  - name: review-pull-request
    on: {type: [com.github.pull_request.opened], data: {pull_request: {draft: [false]}}}
    when: event.data.pull_request.changed_files < 100
    start: review_pull_request
    input: {number: "${ event.data.pull_request.number }"}
    disabled: true
  - name: tell
    on:
      type: [com.github.release.published]
    publish:
      topic: releases
      key: "${ event.data.repository.id }"
      body: {tag: "${ event.data.release.tag_name }"}
routes:
  triage-model:
    policy: weighted
    targets:
      - name: primary
        kind: openai
        url: {env: MODEL_URL, default: http://127.0.0.1:8799/v1}
        key: {env: MODEL_KEY}
        key_header: x-api-key
        model: small-1
        weight: 2
        timeout_s: 30
        pass_headers: [anthropic-version]
        allow_private: true
      - {name: other, kind: http, url: https://example.com/v1}
    retry: {attempts: 3, first_s: 0.1, max_s: 2}
topics:
  releases: {max_deliveries: 5, lease_s: 10}
subscriptions:
  - name: announce
    topic: releases
    filter: {body: {tag: [{prefix: v}]}}
    start: announce_release
    input: ${ message.body }
"""
ENVIRON = {"GITHUB_WEBHOOK_SECRET": "x", "OLD_SECRET": "x", "MODEL_KEY": "x"}


def load(folder: Path, text: str, *, environ: dict[str, str] | None = None) -> Project:
    (folder / "router.yaml").write_text(text, encoding="utf-8")
    (folder / "workflows.py").touch()
    return load_project(folder, environ=ENVIRON if environ is None else environ)


def mistakes(folder: Path, text: str) -> list[Mistake]:
    with pytest.raises(InvalidProject) as caught:
        load(folder, text)
    return list(caught.value.mistakes)


def test_a_full_example_loads(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "new").write_text("s")
    project = load(tmp_path, FULL)
    router = project.router
    assert project.warnings == ()
    assert project.python == (tmp_path / "workflows.py",)
    assert router.settings.address == ("::1", 9000)
    assert router.mappings[0].on == {
        "type": ["com.github.pull_request.opened"],
        "data": {"pull_request": {"draft": [False]}},
    }
    assert router.mappings[0].disabled
    assert router.mappings[1].publish is not None
    assert router.mappings[1].publish.key == "${ event.data.repository.id }"
    assert router.routes["triage-model"].targets[0].weight == 2.0
    assert router.subscriptions[0].filter == {"body": {"tag": [{"prefix": "v"}]}}


def test_a_name_is_enough(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "_private.py", "test_a.py"):
        (tmp_path / name).touch()
    project = load(tmp_path, "name: small\n")
    assert [path.name for path in project.python] == ["a.py", "b.py", "workflows.py"]
    assert project.router.settings.store == "sqlite:///data/router.db"
    assert project.router.settings.address == ("127.0.0.1", 8787)


SUBSCRIPTION = "name: p\ntopics: {t: {}}\nsubscriptions:\n  - name: s\n    topic: t\n"
JOIN = "name: p\njoins:\n  - {name: j, kind: any, within: 1m, parts: {a: {on: {type: [x]}}}, start: w}\n"
CLASSES = "name: p\nclasses:\n  c: {on: {type: [x]}, "
SOURCE = "name: p\ntopics: {t: {}}\nsources:\n  s: "
MAPPING = "name: p\nmappings:\n  - name: m\n    on: {type: [x]}\n"


@pytest.mark.parametrize(
    ("text", "line", "said", "remedy"),
    [
        ("mappings: []\n", 1, "no `name`", "Add `name:`"),
        ("name: p\nmapings: []\n", 2, "`mapings` is not known", "Did you mean `mappings`?"),
        ("name: p\nsettings:\n  lisen: x\n", 3, "`lisen` is not known in `settings`", "Did you mean `listen`?"),
        ("name: p\nsettings:\n  body_max_bytes: much\n", 3, "is not a whole number", "at least 1024"),
        ("name: p\nsettings:\n  body_max_bytes: 12\n", 3, "is a number, not a whole number", "at least 1024"),
        ("name: p\nsettings:\n  listen: here\n", 3, "such as 127.0.0.1:8787", "Write an address"),
        ("name: p\nsettings:\n  listen: a:70000\n", 3, "above 65535", "lower"),
        ("name: p\nsettings:\n  store: mysql://x\n", 3, "is not sqlite:///PATH", "postgresql://"),
        (
            "name: p\nsettings:\n  store: {env: A, file: b}\n",
            3,
            "names 2 of env, file, command and value",
            "one of them",
        ),
        ("name: p\nsettings: [1]\n", 2, "`settings` is a list, not a map", "Write a map"),
        ("name: p\nsettings:\n", 2, "`settings` is empty, not a map", "remove the key"),
        ("name: a b\n", 1, "is not a name", "letters"),
        ("name: 7\n", 1, "`name` is a number, not a name", "letters"),
        ("name: p\npython: [missing.py]\n", 2, "no file `missing.py`", "Known here: workflows.py"),
        ("name: p\npython:\n  - ok.txt\n", 3, "no Python file", "workflows.py"),
        ("name: p\npython:\n  - ../up.py\n", 3, "no Python file of this folder", "workflows.py"),
        ("name: p\npython:\n  - workflow.py\n", 3, "no file", "Did you mean `workflows.py`?"),
        ("name: p\nsources:\n  g: {scheme: githup, secret: {env: A}}\n", 3, "one of github", "mean `github`?"),
        ("name: p\nsources:\n  g:\n    scheme: github\n", 3, "The source `g` has no `secret`", "Add `secret:`"),
        ("name: p\nsources:\n  g:\n    scheme: github\n    secret: abc\n", 5, "is not a map or a list", "Write"),
        ("name: p\nsources:\n  g:\n    scheme: hmac\n    secret: []\n", 5, "empty list", "at least one"),
        ("name: p\nsources:\n  g:\n    scheme: hmac\n    secret: {}\n", 5, "names 0 of env", "one of them"),
        ("name: p\nsources:\n  a/b: {scheme: hmac, secret: {env: A}}\n", 3, "not a name", "letters"),
        (
            "name: p\nsources:\n  g:\n    scheme: hmac\n    secret:\n      env: A\n      default: x\n",
            7,
            "no default",
            "Set it",
        ),
        (MAPPING, 3, "has no target", "one of them"),
        (MAPPING + "    start: a\n    publish: {topic: t}\ntopics: {t: {}}\n", 3, "both", "one of them"),
        (MAPPING + "    start: a\n    when: event.x >\n", 6, "column 10", "syntax"),
        (MAPPING + "    start: a\n    when: message.x == 1\n", 6, "no `message` here", "Use event"),
        (MAPPING + "    start: a\n    when: 3\n", 6, "is a number, not text", "Write text"),
        (MAPPING + "    start: a\n    input:\n      a: 1\n      b: [1, '${ event. }']\n", 8, "At b[1]", "syntax"),
        (MAPPING + "    publish:\n      topic: relases\ntopics: {releases: {}}\n", 6, "no topic", "mean `releases`?"),
        (MAPPING + "    publish:\n      topic: x\n", 6, "no topic `x`", "None is declared"),
        (MAPPING + "    publish: {topic: t}\n    input: 1\ntopics: {t: {}}\n", 6, "for `start` only", "publish.body"),
        (
            MAPPING + "    start: a\n    signal: {workflow: a, name: n, key: k}\n",
            3,
            "both `start` and `signal`",
            "one of",
        ),
        (MAPPING + "    signal: {workflow: a, name: n}\n", 5, "no `key`", "Add `key:`"),
        (MAPPING + "    signal: {workflow: a, name: +x, key: k}\n", 5, "is not a name", "Write a name"),
        (MAPPING + "    signal: {workflow: a, name: '~x', key: k}\n", 5, "is not a name", "Write a name"),
        (SUBSCRIPTION + "    signal: +x\n    workflow: c\n", 6, "the router's own", "another name"),
        (SUBSCRIPTION + "    signal: '~x'\n    workflow: c\n", 6, "the router's own", "another name"),
        (MAPPING + "    signal: {workflow: a, name: n, key: k}\n    input: 1\n", 6, "for `start` only", "signal.value"),
        (MAPPING + "    signal: {workflow: a, name: n, key: '${ event. }'}\n", 5, "`event.`, column 7", "syntax"),
        (MAPPING + "    start: a\n  - name: m\n    on: {type: [x]}\n    start: a\n", 6, "stands twice", "Rename"),
        (
            "name: p\nmappings:\n  - name: m\n    start: a\n    on:\n      type: []\n",
            6,
            "`mappings[0].on.type`: ",
            "docs/patterns.md",
        ),
        (
            "name: p\nmappings:\n- name: m\n  start: a\n  on:\n    $or:\n    - a.b: [1]\n    - a.b: [foo: 1]\n",
            8,
            "`mappings[0].on.$or[1].a.b[0]`: Unrecognized",
            "docs/patterns.md",
        ),
        ("name: p\nmappings:\n  - name: m\n    start: a\n    on: x\n", 5, "is not a map", "Write a map"),
        ("name: p\nmappings:\n  - 3\n", 3, "`mappings[0]` is a number, not a map", "Write a map"),
        ("name: p\nroutes:\n  r: {targets: []}\n", 3, "is an empty list, not a list (not empty)", ""),
        ("name: p\nroutes:\n  r:\n    targets:\n    - {name: a, kind: http}\n", 5, "no `url`", "Add `url:`"),
        ("name: p\nsubscriptions:\n  - name: s\n    topic: t\n", 4, "no topic `t`", "None is declared"),
        (
            "name: p\ntopics: {t: {}}\nsubscriptions:\n  - {name: s, topic: t}\n  - {name: s, topic: t}\n",
            5,
            "stands twice",
            "Rename",
        ),
        (
            "name: p\ntopics: {t: {}}\nsubscriptions:\n  - name: s\n    topic: t\n    input: ${ event.x }\n",
            6,
            "no `event` here",
            "Use message",
        ),
        (
            SUBSCRIPTION + "    start: a\n    signal: b\n    workflow: c\n",
            4,
            "both `start` and `signal`",
            "one of them",
        ),
        (SUBSCRIPTION + "    signal: a\n", 4, "belong together", "both"),
        (SUBSCRIPTION + "    route: b\n", 6, "no route `b`", "None is declared"),
        (SUBSCRIPTION + "    secret: {env: S}\n", 6, "Only webhooks", "Write a `route`"),
        (SUBSCRIPTION + "    begin: 2026-13-01T00:00:00Z\n", 6, "is no time", "Mend the date"),
        (SUBSCRIPTION + "    begin: soon\n", 6, "now, beginning, or a time", ""),
        ("name: p\ntopics:\n  t: {max_deliveries: 0}\n", 3, "at least 1", "Write a whole number"),
        (SOURCE + "{}\n", 4, "nothing to read", "one of `scheme`, `topic` and `lifecycle`"),
        (SOURCE + "{topic: t, lifecycle: [run.completed]}\n", 4, "both `topic` and `lifecycle`", ""),
        (SOURCE + "{scheme: hmac}\n", 4, "has no `secret`", "unsigned webhooks are refused"),
        (SOURCE + "{topic: t, secret: {env: S}}\n", 4, "does not stand beside `topic`", "Remove it"),
        (SOURCE + "{topic: u}\n", 4, "no topic `u`", "Known here: t"),
        (SOURCE + "{topic: t, begin: 2026-13-01T00:00:00Z}\n", 4, "is no time", "Mend the date"),
        (SOURCE + "{topic: t, type: '${ event.x }'}\n", 4, "event", ""),
        (SOURCE + "{topic: t, type: dev.workflow-router.run.completed}\n", 4, "the router's own", "another type"),
        (SOURCE + "{lifecycle: [run.completed, event.accepted]}\n", 4, "no transition that can be an event", "run.*"),
        (
            "name: p\nsources:\n  router: {scheme: hmac, secret: {env: MODEL_KEY}}\n",
            3,
            "`router` is the router's own name",
            "after its sender",
        ),
        (
            SUBSCRIPTION.replace("name: s", "name: source.s") + "sources:\n  s: {topic: t}\n",
            7,
            "A subscription is named `source.s`",
            "otherwise",
        ),
        (CLASSES + "into: {a: x}, otherwise: b}\n", 3, "`b` is no class of `c`", "Known here: a"),
        (CLASSES + "into: {a: x}, rules: [{into: a}]}\n", 3, "holds for everything", "otherwise"),
        (CLASSES + "into: {a: x}, rules: [{into: b, when: 'true'}]}\n", 3, "`b` is no class", ""),
        (CLASSES + "into: {a: x}, when: 'event.'}\n", 3, "", ""),
        (CLASSES + "into: {a: x}, model: {route: r}}\n", 3, "There is no route `r`", ""),
        (CLASSES + "into: {a: x}, semantic: {examples: {b: [t]}}}\n", 3, "`b` is no class", ""),
        (CLASSES + "into: {}}\n", 3, "", ""),
        (
            CLASSES + "into: {a: x}}\nmappings: [{name: class.c, on: {type: [x]}, start: w}]\n",
            3,
            "the mapping of classes, and",
            "",
        ),
        (
            JOIN + "mappings: [{name: j, on: {type: [x]}, start: w}]\n",
            3,
            "`j` is the name of a join, and of",
            "otherwise",
        ),
        (JOIN + "mappings: [{name: j.a, on: {type: [x]}, start: w}]\n", 3, "a part of the join `j`", "otherwise"),
        (
            "name: p\nmappings: [{name: schedule.n, on: {type: [x]}, start: w}]\n"
            "schedules:\n  - {name: n, every_s: 9, start: w}\n",
            4,
            "of a schedule",
            "otherwise",
        ),
        ("name: p\nname: q\n", 2, "`name` stands twice; first on line 1", "Remove one"),
    ],
)
def test_each_mistake_has_its_line_and_a_remedy(tmp_path: Path, text: str, line: int, said: str, remedy: str) -> None:
    found = mistakes(tmp_path, text)
    assert len(found) == 1, found
    assert (found[0].file, found[0].line) == ("router.yaml", line), found
    assert said in found[0].message, found
    assert remedy in found[0].remedy, found
    assert found[0].remedy


TARGET = "name: p\nroutes:\n  r:\n    targets:\n      - name: a\n        kind: http\n        url: https://a\n"


@pytest.mark.parametrize(
    ("more", "line", "said"),
    [
        ("        key: {value: sk-123}\n", 8, "A key is not written into the file"),
        ("        weight: -1\n", 8, "at least 0"),
        ("        timeout_s: 0\n", 8, "more than 0"),
        ("        allow_private: 'yes'\n", 8, "is not true or false"),
        ("        pass_headers: ['a b']\n", 8, "header name"),
        ("        key_header: 'a:'\n", 8, "header name"),
        ("        kinds: http\n", 8, "`kinds` is not known in `routes.r.targets[0]`"),
        ("      - {name: a, kind: http, url: https://b}\n", 8, "The name `a` stands twice in `routes.r.targets`"),
        ("      - {name: b, kind: http, url: ftp://b}\n", 8, "must start with http"),
        ("      - {name: b, kind: http, url: {env: U, default: b}}\n", 8, "must start with http"),
        ("    retry: {first_s: 3, max_s: 1}\n", 8, "longer than `max_s`"),
        ("    policy: random\n", 8, "one of failover, weighted"),
        ("        weight: 0\n    policy: weighted\n", 4, "has weight 0"),
    ],
)
def test_mistakes_of_targets(tmp_path: Path, more: str, line: int, said: str) -> None:
    found = mistakes(tmp_path, TARGET + more)
    assert len(found) == 1, found
    assert found[0].line == line
    assert said in found[0].message
    assert "sk-123" not in str(found)


def test_all_mistakes_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = (
        "name: p\nbogus: 1\nsettings: {listen: 3}\n"
        "mappings:\n  - name: m\n    on: {type: []}\n    when: 1 +\n    strt: x\n"
        "topics: {t: {max_deliveries: many}}\npython: [no.py]\n"
    )
    found = mistakes(tmp_path, text)
    assert [mistake.line for mistake in found] == [2, 3, 5, 6, 7, 8, 9, 10]
    with pytest.raises(InvalidProject) as caught:
        load(tmp_path, text)
    assert str(caught.value).splitlines()[0].startswith("router.yaml:2: The key `bogus` is not known.")


def test_what_state_never_has_is_a_warning(tmp_path: Path) -> None:
    text = """
name: shop
topics: {orders: {}}
mappings:
  - name: one
    on: {type: [a]}
    when: state.topics.orders.ready < 10 && state.queues.orders.ready < 10
    publish: {topic: orders}
  - name: two
    on: {type: [a]}
    publish: {topic: orders, body: "${ state.target.x }"}
  - name: fine
    on: {type: [a]}
    when: size(state) > 0 && state.backlog < 5 && event.data.state == "x"
    publish: {topic: orders, body: "${ state }"}
"""
    found = [(one.line, one.message, one.remedy) for one in load(tmp_path, text).warnings]
    assert [one[:2] for one in found] == [(7, "`state` has no `topics`."), (9, "`state` has no `target`.")]
    assert found[1][2] == "Did you mean `targets`?"


def test_what_is_missing_here_is_a_warning(tmp_path: Path) -> None:
    project = load(tmp_path, FULL.replace("postgresql://db", "postgresql://u:pw@db"), environ={})
    assert [(warning.line, warning.message.partition(" ")[0]) for warning in project.warnings] == [
        (4, "`settings.store`"),
        (8, "The"),
        (12, "There"),
        (13, "The"),
        (35, "The"),
    ]
    inline = load(tmp_path, "name: p\nsources:\n  g: {scheme: github, secret: {value: hunter2}}\n")
    assert "A secret stands in the file" in inline.warnings[0].message
    assert "hunter2" not in repr(inline)
    assert "hunter2" not in repr(inline.router)
    assert "hunter2" not in repr(inline.warnings)


def test_workflows_are_checked_once_they_are_known(tmp_path: Path) -> None:
    project = load(tmp_path, FULL)
    assert check_references(project, {"review_pull_request", "announce_release"}) == []
    found = check_references(project, ["review_pull_requests"])
    assert [(mistake.line, mistake.remedy) for mistake in found] == [
        (18, "Did you mean `review_pull_requests`?"),
        (50, "Known here: review_pull_requests."),
    ]


def test_folders_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "absent", "no folder"), (tmp_path, "is missing")):
        with pytest.raises(InvalidProject, match=said) as caught:
            load_project(folder)
        assert "wr init" in caught.value.mistakes[0].remedy
    (tmp_path / "router.yaml").mkdir()
    with pytest.raises(InvalidProject, match="cannot be read"):
        load_project(tmp_path)
