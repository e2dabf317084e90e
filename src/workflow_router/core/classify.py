"""Owns the cascade that classifies an event: a small run of its own, so intake waits for no model, and a crash repeats
nothing that was committed.

Stages run in order until one is sure enough; what each found is in the run's history, its result and the event that
says the class. A stage that fails is told and passed over. Refuses to act on the class: mappings match that event.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import cast

import msgspec

from workflow_router.core import run_verbs
from workflow_router.core.classification.classifier import (
    CLASSIFIED,
    CLASSIFY,
    TEXT_MAX,
    Classifier,
    Semantic,
    Stage,
)
from workflow_router.core.classification.decide import Vector, by_answer, by_examples, by_rules, question
from workflow_router.core.errors import InvalidInput, RouterError, StepFailed
from workflow_router.core.event_mappings.ingest import specification_of
from workflow_router.core.event_mappings.mapping import Mapping as EventMapping
from workflow_router.core.event_mappings.perform import Performed
from workflow_router.core.event_mappings.plan import CHAIN
from workflow_router.core.event_mappings.target import compile_target, stable_id
from workflow_router.core.expressions import compile_condition
from workflow_router.core.model import Event
from workflow_router.core.orchestration.definitions import Retry
from workflow_router.core.ports import Store, Transaction
from workflow_router.core.router import Router
from workflow_router.core.runtime_state.approvals import Answer
from workflow_router.utils.codec import from_json, to_json, told

Embed = Callable[[list[str]], Awaitable[Sequence[Vector]]]
TELL = Retry(attempts=20, first_s=0.5, max_s=60.0)


class Classified(msgspec.Struct, frozen=True, kw_only=True, rename={"chosen": "class"}):
    """The result: the class, by which stage, how sure it is, and what every stage found."""

    classifier: str
    chosen: str | None
    stage: str
    confidence: float
    stages: list[Stage]


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """Whose event says the class: tenant, what it belongs to."""

    tenant: str
    correlation: str | None


def classifier_mappings(classifiers: Iterable[Classifier], *, variables: Iterable[str]) -> list[EventMapping]:
    """The mappings that start the cascade, once for each event."""
    made: list[EventMapping] = []
    seen = list(variables)
    for one in classifiers:
        rule = {
            "start": CLASSIFY,
            "input": {"classifier": one.name, "text": one.text.source, "event": "${ event }"},
            "once": "${ event.router_id }",
        }
        made.append(
            EventMapping(
                name=one.mapping,
                pattern=one.pattern,
                condition=None if one.when is None else compile_condition(one.when, variables=seen),
                targets=(compile_target(rule, variables=seen),),
                specification=specification_of({"on": one.pattern.source, "when": one.when, "targets": [rule]}),
            )
        )
    return made


def classifying(classifiers: Mapping[str, Classifier], embed: Embed) -> Router:
    """A router with the workflow that classifies.

    Args:
        embed: the small local model, for semantic classes without a route.
    """
    router = Router("router")
    cascade = _Cascade(router, classifiers, embed)

    @router.step(name="rules")
    async def rules(classifier: str, event: dict[str, object]) -> Stage:
        return by_rules(cascade.find(classifier), event)

    @router.step(name="semantic")
    async def semantic(classifier: str, text: str) -> Stage:
        return await cascade.semantic(classifier, text)

    @router.step(name="tell", retry=TELL)
    async def tell(found: Classified, event: dict[str, object], whose: Telling) -> None:
        await cascade.tell(found, event, whose)

    @router.workflow(name=CLASSIFY)
    async def classify(classifier: str, text: object, event: dict[str, object]) -> Classified:
        one = cascade.find(classifier)
        read = text if isinstance(text, str) else to_json(text).decode()
        stages = [await rules(classifier, event)]
        if not stages[-1].accepted and one.semantic is not None:
            stages.append(await semantic(classifier, read[:TEXT_MAX]))
        if not stages[-1].accepted and one.model is not None:
            stages.append(await cascade.model(one, read))
        if not stages[-1].accepted and one.person is not None:
            stages.append(await cascade.person(one, read, stages))
        if not stages[-1].accepted:
            stages.append(Stage(stage="otherwise", chosen=one.otherwise, accepted=True))
        last = stages[-1]
        found = Classified(
            classifier=classifier, chosen=last.chosen, stage=last.stage, confidence=last.confidence, stages=stages
        )
        run = run_verbs.inside("classify").live.run
        await tell(found, event, Telling(tenant=run.tenant, correlation=run.correlation))
        return found

    del classify
    return router


class _Cascade:
    """What the stages do."""

    def __init__(self, router: Router, classifiers: Mapping[str, Classifier], embed: Embed) -> None:
        self._router = router
        self._classifiers = classifiers
        self._embed = embed
        self._examples: dict[str, dict[str, list[Vector]]] = {}

    def find(self, name: str) -> Classifier:
        """The classifier of that name. Raises InvalidInput, which a restart with the right project mends."""
        found = self._classifiers.get(name)
        if found is None:
            raise InvalidInput(f"There are no classes {name} any more.", remedy="Declare them, and resume the run.")
        return found

    async def semantic(self, name: str, text: str) -> Stage:
        """What is nearest to the text. Examples are embedded once in a process."""
        one = self.find(name).semantic
        if one is None:
            return Stage(stage="semantic", why="There are no examples any more.")
        try:
            known = self._examples.get(name)
            if known is None:
                texts = [example for some in one.examples.values() for example in some]
                vectors = iter(await self._vectors(one, texts))
                known = {label: [next(vectors) for _ in some] for label, some in one.examples.items()}
                self._examples[name] = known
            (vector,) = await self._vectors(one, [text])
            return by_examples(one, vector, known)
        except (RouterError, LookupError, TypeError, ValueError) as error:
            return Stage(stage="semantic", why=_told(error))

    async def _vectors(self, one: Semantic, texts: list[str]) -> Sequence[Vector]:
        if one.route is None:
            return await self._embed(texts)
        asked: dict[str, object] = {"input": texts}
        if one.model is not None:
            asked["model"] = one.model
        answer = await self._router.dispatch(one.route, asked, path="/embeddings")
        listed = sorted(answer["data"], key=lambda item: item["index"])
        found = msgspec.convert([item["embedding"] for item in listed], list[list[float]])
        if len(found) != len(texts):
            raise ValueError(f"The route {one.route} embedded {len(found)} of {len(texts)} texts.")
        return found

    async def model(self, one: Classifier, text: str) -> Stage:
        """What the chat model says."""
        if one.model is None:
            return Stage(stage="model")
        try:
            answer = await self._router.dispatch(one.model.route, question(one, one.model, text))
            return by_answer(one, one.model, answer)
        except StepFailed as error:
            return Stage(stage="model", why=_told(error))

    async def person(self, one: Classifier, text: str, stages: list[Stage]) -> Stage:
        """What people choose, who see what the stages before found."""
        form = {
            "type": "object",
            "properties": {"class": {"type": "string", "enum": list(one.into)}},
            "required": ["class"],
        }
        asked = one.person
        answer: Answer[dict[str, object]] = await self._router.approve(
            f"classify-{one.name}",
            form=form,
            context={"text": text[:TEXT_MAX], "stages": from_json(to_json(stages))},
            roles=[] if asked is None else asked.roles,
            within=None if asked is None else asked.within,
        )
        chosen = answer.values.get("class")
        if not answer.approved or not isinstance(chosen, str) or chosen not in one.into:
            return Stage(stage="person", why=f"Nobody chose: {answer.status.value}.")
        by = ", ".join(decision.by for decision in answer.decisions)
        return Stage(stage="person", chosen=chosen, confidence=1.0, accepted=True, why=f"Chosen by {by}.")

    async def tell(self, found: Classified, event: dict[str, object], whose: Telling) -> None:
        """Take in the event that says the class: one for each classifier and event, however often this is called."""
        own_id = str(event["router_id"])
        chain = [str(event[CHAIN])] if event.get(CHAIN) else []
        data = {name: value for name, value in event.items() if name not in {"router_id", CHAIN}}
        made = Event(
            id=own_id,
            source=f"/classes/{found.classifier}",
            type=CLASSIFIED,
            subject=found.chosen,
            datacontenttype="application/json",
            data=to_json({**cast("dict[str, object]", from_json(to_json(found))), "event": data}),
            extensions={CHAIN: ",".join([*chain, self.find(found.classifier).mapping]), "causeid": own_id},
        )
        ingest = self._router.runtime.ingest

        async def unit(tx: Transaction) -> Performed:
            done = Performed()
            await ingest.take_within(tx, made, done, tenant=whose.tenant, correlation=whose.correlation)
            return done

        ingest.tell(await self._router.runtime.store.commit(unit))


def _told(error: Exception) -> str:
    text = error.message if isinstance(error, RouterError) else f"{type(error).__name__}: {told(error)}"
    return f"It failed: {text}"[:500]


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """How far the classification of an event is: its run, that run's status, and the result once there is one."""

    classifier: str
    run: str
    status: str
    result: object = None


async def classifications(store: Store, event_id: str, matched: Iterable[str], *, tenant: str) -> list[Classification]:
    """What became of an event's classifications.

    Args:
        matched: labels of the mappings that the event matched.
    """
    names = [label.rpartition("@")[0] for label in matched if label.startswith("class.")]

    async def unit(tx: Transaction) -> list[Classification]:
        found: list[Classification] = []
        for name in names:
            run = await tx.runs.find(stable_id(tenant, name, event_id))
            if run is not None and run.workflow == CLASSIFY:
                result = None if run.output is None else from_json(run.output)
                found.append(
                    Classification(classifier=name.removeprefix("class."), run=run.id, status=run.status, result=result)
                )
        return found

    return await store.read(unit) if names else []
