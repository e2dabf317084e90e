"""Owns what signs a project's audit log, and where its checkpoints go. Refuses to show the key."""

import asyncio
import base64
import binascii
import os
from collections.abc import Callable
from pathlib import Path

from workflow_router.core.dispatch_route.model import Call, Caller
from workflow_router.core.model import NewMessage
from workflow_router.core.proofs.checkpoint import Signer
from workflow_router.core.run_verbs import content_of
from workflow_router.core.runtime import Runtime
from workflow_router.core.runtime_state.checkpoints import Sink
from workflow_router.core.runtime_state.observe import AUDIT
from workflow_router.settings.model import Project
from workflow_router.settings.resolve import unresolved, value_of
from workflow_router.utils.codec import to_json

KEY_FILE = "audit.key"
KEY_BYTES = 32

_WHERE = ("settings", "audit", "key")


def signing_of(project: Project, store: str) -> Callable[[Runtime], None]:
    """What makes a runtime sign its log as the project says; to be called before it opens.

    Args:
        store: its URL; beside an SQLite file a key is made where none is configured.

    Raises:
        InvalidProject: the key cannot be had, or is none.
    """
    said = project.router.settings.audit
    if said.key is not None:
        seed = _decoded(value_of(project, said.key, _WHERE, os.environ))
        if seed is None:
            problem = "The audit key is not 32 bytes in base64."
            raise unresolved(project, _WHERE, problem, "Make one: openssl rand -base64 32.")
    else:
        seed = _key_beside(store)
    if seed is None:
        return lambda _: None
    signer = Signer(project.router.name, seed)

    def prepare(runtime: Runtime) -> None:
        sinks: list[Sink] = []
        if said.checkpoint_file is not None:
            sinks.append(_to_file(project.folder / said.checkpoint_file))
        if said.checkpoint_topic is not None:
            sinks.append(_to_topic(runtime, said.checkpoint_topic))
        if said.checkpoint_route is not None:
            sinks.append(_to_route(runtime, said.checkpoint_route))
        runtime.audit.checkpoints.sign_with(signer, sinks, every_s=said.checkpoint_s)

    return prepare


def _decoded(text: str) -> bytes | None:
    try:
        seed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return seed if len(seed) == KEY_BYTES else None


def _key_beside(store: str) -> bytes | None:
    """The key in the folder of an SQLite store, made at the first start; only its owner can read it."""
    if not store.startswith("sqlite:///"):
        return None
    path = Path(store.removeprefix("sqlite:///")).parent / KEY_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    return _decoded(path.read_text(encoding="ascii").strip())


def _to_file(path: Path) -> Sink:
    def append(note: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(note + "\n")
            file.flush()
            os.fsync(file.fileno())

    return lambda note: asyncio.to_thread(append, note)


def _to_topic(runtime: Runtime, topic: str) -> Sink:
    async def publish(note: str) -> None:
        await runtime.publish(NewMessage(id=runtime.ids.new(), topic=topic, body=to_json(note), correlation=AUDIT))

    return publish


def _to_route(runtime: Runtime, route: str) -> Sink:
    async def post(note: str) -> None:
        call = Call(method="POST", headers=(("content-type", "text/plain; charset=utf-8"),), body=note.encode())
        content_of(
            await runtime.dispatch(route, call, Caller(caller="audit", correlation=AUDIT))
        )  # or it did not arrive

    return post
