"""Owns traces: the tree of what one event, call or start led to, folded from the journal. Refuses payloads.

Every transition is an entry of the journal, in the commit that made it, with the id at the root of its causal tree and
the id of what caused it. So one query by that root finds the whole tree; times of steps and attempts of calls are then
read for what it holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from workflow_router.core.errors import NotFound
from workflow_router.core.model import AuditEntry, Transition
from workflow_router.core.ports import Transaction
from workflow_router.core.runtime_state.ports import StepTime

NODES_MAX = 1_000
DEPTH_MAX = 64
"""Deeper nodes hang at this depth, so that no reader's stack overflows; their `parent` tells the truth."""
_ENTRIES_PER_NODE = 8

_ENDED = frozenset(
    {
        *("completed", "faulted", "cancelled", "continued", "approved", "rejected", "expired", "withdrawn"),
        *("acknowledged", "dead", "dropped", "accepted", "published", "failed", "refused", "aborted"),
    }
)
_THINGS = frozenset({"event", "run", "message", "dispatch", "approval"})


class TraceNode(msgspec.Struct, kw_only=True):
    """One thing of a trace.

    Attributes:
        id: its own id; of a step, mapping and delivery the id of what it belongs to, `:` and its key or name.
        kind: event, mapping, run, step, dispatch, attempt, message, delivery or approval.
        parent: id of what caused it; None at a root.
        started_ms: wall time, milliseconds since the epoch.
        run: the run it belongs to.
        detail: a few short facts; no payloads.
    """

    id: str
    kind: str
    name: str
    status: str
    started_ms: int
    finished_ms: int | None = None
    parent: str | None = None
    run: str | None = None
    detail: dict[str, object] = {}
    children: "list[TraceNode]" = []


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The causal tree that an id belongs to.

    Attributes:
        correlation: the id at its root.
        count: how many nodes there are in `roots` and below.
        cut: there is more than was asked for.
    """

    id: str
    correlation: str
    count: int
    cut: bool
    roots: list[TraceNode]


async def trace(
    tx: Transaction,
    some_id: str,
    *,
    limit: int = NODES_MAX,
    own: Callable[[list[AuditEntry]], list[AuditEntry]] = lambda entries: entries,
) -> Trace:
    """The tree that an id belongs to, of at most `limit` nodes. Raises NotFound.

    Args:
        own: those entries that may be seen.
    """
    correlation = await tx.traces.correlation_of(some_id.partition(":")[0])
    most = limit * _ENTRIES_PER_NODE
    entries = [] if correlation is None else await tx.audit.of_correlation(correlation, limit=most + 1)
    more = len(entries) > most
    entries = own(entries[:most])
    if correlation is None or not entries:
        raise NotFound(
            "Nothing of this id is in the journal.",
            remedy="Give the id of an event, run, step (RUN:KEY), message, dispatch or approval; old ones may be gone.",
        )
    fold = _Fold(limit)
    for entry in entries:
        fold.take(entry)
    for step in await tx.traces.steps(fold.of_kind("run"), limit=limit):
        fold.time(step)
    for dispatch, call in (await tx.traces.calls(fold.of_kind("dispatch"))).items():
        fold.attempts(dispatch, call.attempts)
        fold.hang(dispatch, call.step_key)
    for approval, key in (await tx.traces.asked(fold.of_kind("approval"))).items():
        fold.hang(approval, key)
    cut = fold.cut or more
    return Trace(id=some_id, correlation=correlation, count=len(fold.nodes), cut=cut, roots=fold.roots())


class _Fold:
    """Nodes by id, in the order of their first entries."""

    def __init__(self, limit: int) -> None:
        self.nodes: dict[str, TraceNode] = {}
        self.cut = False
        self._limit = limit
        self._mapping_of: dict[str, str] = {}

    def of_kind(self, kind: str) -> list[str]:
        return [node.id for node in self.nodes.values() if node.kind == kind]

    def take(self, entry: AuditEntry) -> None:
        told, at = entry.transition, entry.time_ms
        thing, _, what = told.kind.partition(".")
        if "key" in told.detail and told.run is not None:
            self._of_step(told, thing, what, at)
        elif thing == "message" and "subscription" in told.detail:
            name = str(told.detail["subscription"])
            self._put(told, f"{told.subject}:{name}", "delivery", name, what, at, parent=told.subject)
        elif thing in _THINGS:
            named = ("workflow", "route", "topic", "type", "name")
            name = next((str(told.detail[one]) for one in named if one in told.detail), told.subject)
            cause = told.cause if thing in {"run", "event", "message"} else told.run or told.cause
            self._put(told, told.subject, thing, name, what, at, parent=cause, run=told.run)
            if thing == "event":
                self._mappings(told, at)
        elif thing == "mapping" and told.cause is not None:
            self._put(told, f"{told.cause}:{told.subject}", "mapping", told.subject, what, at, parent=told.cause)

    def _of_step(self, told: Transition, thing: str, what: str, at: int) -> None:
        if "seq" in told.detail:
            self._step(told, thing, what, at)
        elif thing == "attempt":
            step = f"{told.run}:{told.detail['key']}"
            target = str(told.detail.get("name"))
            self._put(told, told.subject, "attempt", target, what, at, parent=step, run=told.run)
        elif told.kind == "wait.opened":
            name = str(told.detail.get("name"))
            self._put(told, told.subject, "step", name, "waiting", at, parent=told.run, run=told.run)
            node = self.nodes.get(told.subject)
            if node is not None:
                node.detail["kind"] = node.detail.pop("for", None)

    def _step(self, told: Transition, kind: str, what: str, at: int) -> None:
        step_id, name = f"{told.run}:{told.detail['key']}", str(told.detail.get("name", kind))
        self._put(told, step_id, "step", name, what, at, parent=told.run, run=told.run)
        node = self.nodes.get(step_id)
        if node is not None:
            node.detail["kind"] = kind

    def _mappings(self, told: Transition, at: int) -> None:
        matched = told.detail.get("matched")
        labels = cast("list[str]", matched) if isinstance(matched, list) else []
        for label in labels:
            said = Transition(kind=told.kind, subject=told.subject)
            self._put(said, f"{told.subject}:{label}", "mapping", label, "matched", at, parent=told.subject, ended=True)
        if len(labels) == 1:  # with several, the journal does not say which of them started a run
            self._mapping_of[told.subject] = f"{told.subject}:{labels[0]}"

    def _put(
        self,
        told: Transition,
        node_id: str,
        kind: str,
        name: str,
        status: str,
        at: int,
        *,
        parent: str | None,
        run: str | None = None,
        ended: bool = False,
    ) -> None:
        node = self.nodes.get(node_id)
        if node is None:
            if len(self.nodes) >= self._limit:
                self.cut = True
                return
            detail = {key: value for key, value in told.detail.items() if key not in {"matched", "key", "seq", "name"}}
            if parent == node_id:
                parent = None
            node = TraceNode(id=node_id, kind=kind, name=name, status=status, started_ms=at, parent=parent, run=run)
            node.detail = {key: value for key, value in detail.items() if value is not None and value != name}
            self.nodes[node_id] = node
        elif kind != "message" or status == "published":
            node.status = status
            if isinstance(told.detail.get("target"), str):
                node.detail["target"] = told.detail["target"]
        if told.actor is not None and kind == "approval":
            people = cast("list[str]", node.detail.setdefault("answers", []))
            people.append(f"{told.actor}: {status}")
        node.finished_ms = at if ended or status in _ENDED else None

    def time(self, step: StepTime) -> None:
        """Say when a step ran; its entry only tells when it was committed."""
        node = self.nodes.get(f"{step.run}:{step.key}")
        if node is not None:
            node.started_ms, node.finished_ms = step.started_ms, step.finished_ms

    def attempts(self, dispatch: str, attempts: Sequence[Mapping[str, object]]) -> None:
        """Hang the attempts of a dispatch below it."""
        for number, attempt in enumerate(attempts, 1):
            if len(self.nodes) >= self._limit:
                self.cut = True
                return
            started, total = attempt.get("started_ms"), attempt.get("total_ms")
            at = int(started) if isinstance(started, int | float) else self.nodes[dispatch].started_ms
            detail = {name: attempt[name] for name in ("error", "first_byte_ms") if attempt.get(name) is not None}
            self.nodes[f"{dispatch}:{number}"] = TraceNode(
                id=f"{dispatch}:{number}",
                kind="attempt",
                name=str(attempt.get("target")),
                status=str(attempt.get("status")),
                started_ms=at,
                finished_ms=at + round(total) if isinstance(total, int | float) else None,
                parent=dispatch,
                run=self.nodes[dispatch].run,
                detail=detail,
            )

    def hang(self, some_id: str, step_key: str | None) -> None:
        """Hang a call or an approval below the step that made it, where the journal has that step already."""
        node = self.nodes[some_id]
        step = f"{node.run}:{step_key}"
        if step in self.nodes:
            node.parent = step

    def roots(self) -> list[TraceNode]:
        """The nodes as trees: those first whose cause is not among them."""
        for node in self.nodes.values():
            if node.kind != "mapping" and node.parent is not None:
                node.parent = self._mapping_of.get(node.parent, node.parent)
        order = sorted(self.nodes.values(), key=lambda node: node.started_ms)
        below: dict[str, list[TraceNode]] = {}
        roots: list[TraceNode] = []
        for node in order:
            if node.parent in self.nodes:
                below.setdefault(node.parent, []).append(node)
            else:
                roots.append(node)
        todo = [(node, 1, node) for node in roots]
        while todo:
            node, depth, anchor = todo.pop()
            host = node if depth < DEPTH_MAX else anchor
            for child in below.get(node.id, ()):
                host.children.append(child)
                todo.append((child, depth + 1, child if depth + 1 < DEPTH_MAX else host))
        return roots
