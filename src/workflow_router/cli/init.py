"""Owns `wr init`: a new project folder that runs as it is. Refuses to overwrite anything."""

import re
from pathlib import Path

import click

from workflow_router.core.errors import Conflict, InvalidInput

ROUTER = """\
# What this project does. `wr check` tells every mistake; the README has a first event to send.
name: {name}

settings:
  listen: 127.0.0.1:8787
  store: sqlite:///data/router.db

python: [workflows.py]

# Which events start what. Patterns are those of Amazon EventBridge; ${{ … }} holds a CEL expression.
mappings:
  - name: greet
    on: {{type: [com.example.person.arrived]}}
    start: greet
    input: ${{ event.data }}
"""

WORKFLOWS = '''\
"""The workflows of {name}."""

from dataclasses import dataclass

from workflow_router import Retry, Router

router = Router("{name}")


@dataclass(frozen=True)
class Person:
    """The input of `greet`: the data of the event that starts it."""

    name: str
    language: str = "en"


@router.step(retry=Retry(attempts=3))
async def write_greeting(person: Person) -> str:
    """A step: its result is kept, so after a crash it is not done again."""
    hello = {{"de": "Hallo", "fr": "Bonjour"}}.get(person.language, "Hello")
    return f"{{hello}}, {{person.name}}!"


@router.workflow
async def greet(person: Person) -> str:
    """A workflow: plain Python, whose steps are durable."""
    return await write_greeting(person)
'''

CURL = """\
curl http://127.0.0.1:8787/events -H 'content-type: application/cloudevents+json' -d '{{
  "specversion": "1.0", "id": "{event}", "source": "/readme", "type": "com.example.person.arrived",
  "data": {{"name": "Ada", "language": "fr"}}}}'"""

README = """\
# {name}

```console
$ wr serve {name}
```

Then, in another terminal, send an event and look at the run it started:

```console
$ {curl}
$ wr runs
```

`router.yaml` says which events start what, `workflows.py` what happens then. `data/` holds the store.
"""

IGNORED = "data/\n__pycache__/\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def make_project(folder: Path) -> None:
    """Write a new project into a folder that does not exist or is empty. Raises Conflict, InvalidInput."""
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be a project's name.", remedy="Use letters, digits, `.`, `_` and `-`, at most 100."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is there already.", remedy="Choose another name, or an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    curl = CURL.format(event="1")
    files = {"router.yaml": ROUTER.format(name=name), "workflows.py": WORKFLOWS.format(name=name)}
    files |= {"README.md": README.format(name=name, curl=curl), ".gitignore": IGNORED}
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")


@click.command(epilog="Example: wr init my-project && wr serve my-project")
@click.argument("name", type=click.Path(path_type=Path))
def command(name: Path) -> None:
    """Make the project folder NAME, which `wr serve NAME` runs as it is."""
    make_project(name)
    click.echo(
        f"Made {name}. Run it:\n\nwr serve {name}\n\nThen, in another terminal:\n\n{CURL.format(event='1')}\nwr runs"
    )
