"""Owns letting runs start: what a start must pass, what waits, and who goes next when a slot is free. Refuses tasks.

All of it happens in the transaction that starts or ends a run, so a slot is taken and freed exactly when its run is,
whatever crashes. A run that waits for a slot waits for one full lane; when that lane has room, the first of those that
wait for it goes on, or moves to the next lane that is full.

Sources: start-time fair queueing (Goyal, Vin and Cheng 1996) for shares of tenants.
"""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from workflow_router.core.errors import Conflict, Overloaded
from workflow_router.core.model import NewRun, Run, Transition
from workflow_router.core.orchestration.flow import Ask, Flow, FlowPlan, is_singleton, workflow_of
from workflow_router.core.orchestration.flow_ports import Start
from workflow_router.core.orchestration.journal import Problem
from workflow_router.core.pacing import Verdict, decide, release
from workflow_router.core.pacing.ports import Hold, Place
from workflow_router.core.ports import Transaction
from workflow_router.core.states import RunStatus
from workflow_router.utils.codec import to_json, typed_from_json

FILL_MAX = 1_000


class _Item(msgspec.Struct, frozen=True, array_like=True):
    """What a place of the stages gather and throttle keeps: a run, and the input of one start."""

    run: str
    input: msgspec.Raw


class Admission:
    """Lets runs start and tells when they ended.

    Args:
        flows: flow control by workflow.
        steps: whether steps take slots, too.
    """

    def __init__(self, flows: Mapping[str, Flow], *, steps: bool = False) -> None:
        self.plans = {workflow: FlowPlan(workflow, flow) for workflow, flow in flows.items()}
        self._steps = steps

    def controls(self, new: NewRun) -> bool:
        """Whether a start is to be asked for here."""
        return new.key is not None or new.workflow in self.plans

    def held(self, workflow: str) -> bool:
        """Whether the end of such a run may free a slot."""
        return self._steps or workflow in self.plans

    async def start(self, tx: Transaction, new: NewRun) -> Run | None:
        """Start a run as soon as it may; None if one with its id exists.

        Raises:
            Conflict: its idempotency key was used with another input. Overloaded: too many wait already.
            InvalidInput, ExpressionFailed: a key cannot be worked out.
        """
        await tx.slots.lock()
        if await tx.runs.find(new.id) is not None:
            return None
        first = await self._first_of_key(tx, new)
        if first is not None:
            return first
        plan = self.plans.get(new.workflow)
        if plan is None:
            return await tx.keys.start(new)
        ask = plan.ask(new)
        refused = await self._over_rate(tx, plan, ask, new)
        if refused is not None:
            return refused
        there = await self._singleton(tx, plan, ask, new)
        if there is not None:
            return there
        start = Start(
            run=new.id,
            workflow=new.workflow,
            tenant=new.tenant,
            lanes=ask.lanes,
            singleton=ask.singleton,
            priority=ask.priority,
            weight=ask.weight,
        )
        # A parent waits for its own child, which so is never merged with another run.
        if plan.flow.gather is not None and new.parent is None:
            return await self._gather(tx, plan, ask, start, new)
        if plan.flow.throttle is not None and not await self._pass(tx, plan, ask.throttle, new.id):
            return await tx.starts.put(start, new, RunStatus.PENDING, why="throttle")
        full = await self._full(tx, start)
        if full is not None:
            return await tx.starts.put(
                msgspec.structs.replace(start, lane=full), new, RunStatus.PENDING, why=self._why(full)
            )
        await self._take(tx, start)
        return await tx.starts.put(start, new, RunStatus.RUNNING)

    async def ended(self, tx: Transaction, run_id: str) -> None:
        """Free what an ended run held, and let those run that waited for it."""
        await tx.slots.lock()
        await tx.starts.forget(run_id)
        for lane in await tx.slots.free(run_id):
            await self.fill(tx, lane)

    async def fill(self, tx: Transaction, lane: str) -> None:
        """Let runs go on that wait for a lane, as long as it has room."""
        for _ in range(FILL_MAX):
            limit = self._limit(lane)
            if limit is not None and await tx.slots.taken(lane) >= limit:
                return
            start = await tx.starts.next(lane)
            if start is None:
                return
            await self._go(tx, start)

    async def release(self, tx: Transaction, hold: Hold) -> None:
        """Let those starts go on whose time has come; the hold has been claimed."""
        workflow, _, stage = hold.place.scope.rpartition("/")
        plan = self.plans.get(workflow)
        policy = None if plan is None else plan.flow.policy(stage)
        decision = release(policy, hold.held, tx.now_ms)
        await tx.holds.keep(hold.place, decision.held)
        if stage == "rate":
            return
        items = [typed_from_json(text, _Item) for text in decision.items]
        groups = (
            [items]
            if plan is not None and plan.flow.batch is not None and stage == "gather"
            else [[item] for item in items]
        )
        for group in groups:
            if group:
                await self._after_gather(tx, plan, stage, group)

    # --- stages -----------------------------------------------------------------------------------------------------

    async def _first_of_key(self, tx: Transaction, new: NewRun) -> Run | None:
        if new.key is None:
            return None
        digest = sha256(new.input).hexdigest()
        run_id, known = await tx.keys.claim(new, digest)
        if run_id == new.id:
            return None
        if known != digest:
            raise Conflict(
                f"The idempotency key {new.key!r} was used for run {run_id}, with another input.",
                remedy="Send the same input again, or take another key.",
            )
        return await self._joined(tx, run_id)

    async def _over_rate(self, tx: Transaction, plan: FlowPlan, ask: Ask, new: NewRun) -> Run | None:
        rate = plan.flow.rate
        if rate is None:
            return None
        decision = decide(rate, await tx.holds.take(ask.rate), b"0", tx.now_ms)
        await tx.holds.keep(ask.rate, decision.held)
        if decision.verdict is Verdict.FIRE:
            return None
        wait_s = max(0, (decision.retry_ms or tx.now_ms) - tx.now_ms) / 1000
        message = f"More than {rate.limit} runs of {new.workflow} in {rate.per_s:g} s; try again in {wait_s:.3g} s."
        return await tx.starts.refuse(new, Problem(type="rate-limited", message=message).to_json())

    async def _singleton(self, tx: Transaction, plan: FlowPlan, ask: Ask, new: NewRun) -> Run | None:
        single = plan.flow.singleton
        if single is None or ask.singleton is None or single.mode == "queue":
            return None
        there = await tx.slots.single(ask.singleton)
        if not there:
            return None
        if single.mode == "skip":
            return await self._joined(tx, there[0]) if new.parent is None else None
        for run_id in there:
            # The one that runs is stopped by its owner, and keeps its slot until it has ended.
            tx.record(Transition(kind="run.replaced", subject=run_id, tenant=new.tenant, run=run_id, cause=new.id))
            if await tx.starts.withdraw(run_id):
                await self.ended(tx, run_id)
        return None

    async def _gather(self, tx: Transaction, plan: FlowPlan, ask: Ask, start: Start, new: NewRun) -> Run | None:
        policy = plan.flow.gather
        assert policy is not None  # noqa: S101  the caller asked
        held = await tx.holds.take(ask.gather)
        waiting = None
        if held is not None and held.items and plan.flow.delay is None:
            first = typed_from_json(bytes(held.items[-1].value), _Item).run
            waiting = await tx.runs.find(first)
        if waiting is None or waiting.status is not RunStatus.PENDING:
            waiting, held = None, held if plan.flow.delay is not None else None
        own = new.id if waiting is None else waiting.id
        decision = decide(policy, held, to_json(_Item(own, msgspec.Raw(new.input))), tx.now_ms)
        if decision.verdict is Verdict.DROP:
            raise Overloaded(f"Too many runs of {new.workflow} wait already.", remedy="Start it again later.")
        await tx.holds.keep(ask.gather, decision.held)
        if waiting is None:
            due_ms = None if decision.held is None else decision.held.due_ms
            put = await tx.starts.put(start, new, RunStatus.PENDING, why=_until(type(policy).__name__.lower(), due_ms))
        else:
            if plan.flow.debounce is not None:
                await tx.starts.give(own, new.input)
            put = await self._joined(tx, own)
        if not decision.items:
            return put
        await self._after_gather(tx, plan, "gather", [typed_from_json(text, _Item) for text in decision.items])
        gone_on = await tx.runs.find(own)
        return gone_on if waiting is None else put

    async def _after_gather(self, tx: Transaction, plan: FlowPlan | None, stage: str, items: list[_Item]) -> None:
        """Move a pending run on from a stage, with what was gathered for it."""
        start = await tx.starts.find(items[-1].run)
        if start is None:  # it was cancelled while it waited
            return
        if stage == "gather" and plan is not None:
            if plan.flow.batch is not None:
                given = b"[" + b",".join(bytes(item.input) for item in items) + b"]"
                await tx.starts.give(start.run, given)
            place = _sibling(items, plan, start)
            if plan.flow.throttle is not None and not await self._pass(tx, plan, place, start.run):
                await tx.starts.wait(start.run, None, why="throttle")
                return
        await self._go(tx, start)

    async def _pass(self, tx: Transaction, plan: FlowPlan, place: Place, run_id: str) -> bool:
        """Whether a run passes the throttle now; if not, it waits there."""
        throttle = plan.flow.throttle
        assert throttle is not None  # noqa: S101  the caller asked
        item = to_json(_Item(run_id, msgspec.Raw(b"null")))
        decision = decide(throttle, await tx.holds.take(place), item, tx.now_ms)
        if decision.verdict is Verdict.DROP:
            raise Overloaded(f"Too many runs of {plan.workflow} wait already.", remedy="Start it again later.")
        await tx.holds.keep(place, decision.held)
        return decision.verdict is Verdict.FIRE

    def replaces(self, lane: str) -> bool:
        """Whether whoever waits for the lane is to take the place of the run that has it."""
        plan = self.plans.get(workflow_of(lane))
        single = None if plan is None else plan.flow.singleton
        return single is not None and single.mode == "replace" and is_singleton(lane)

    # --- lanes ------------------------------------------------------------------------------------------------------

    async def _go(self, tx: Transaction, start: Start) -> None:
        """Let a pending run run, or wait for the next lane that is full."""
        full = await self._full(tx, start)
        if full is not None:
            await tx.starts.wait(start.run, full, why=self._why(full))
            return
        await tx.starts.wait(start.run, None, why="")
        if await tx.starts.admit(start.run) is not None:
            await self._take(tx, start)

    async def _full(self, tx: Transaction, start: Start) -> str | None:
        for lane in start.lanes:
            limit = self._limit(lane)
            if limit is not None and await tx.slots.taken(lane) >= limit:
                return lane
        return None

    async def _take(self, tx: Transaction, start: Start) -> None:
        for lane in start.lanes:
            await tx.slots.take(lane, start.run)

    def _limit(self, lane: str) -> int | None:
        plan = self.plans.get(workflow_of(lane))
        return None if plan is None else plan.limit_of(lane)

    def _why(self, lane: str) -> str:
        _, which, *key = msgspec.json.decode(lane, type=list[str])
        kind = "singleton" if which == "one" else f"concurrency {self._limit(lane)}"
        return kind + (f" of {key[-1]!r}" if key and key[-1] else "")

    async def _joined(self, tx: Transaction, run_id: str) -> Run | None:
        run = await tx.runs.find(run_id)
        return None if run is None else msgspec.structs.replace(run, joined=True)


def _until(what: str, due_ms: int | None) -> str:
    return what if due_ms is None else f"{what} until {due_ms}"


def _sibling(items: list[_Item], plan: FlowPlan, start: Start) -> Place:
    """Where the throttle of a gathered run keeps its state."""
    new = NewRun(id=start.run, workflow=start.workflow, tenant=start.tenant, input=bytes(items[-1].input))
    return plan.ask(new).throttle
