"""Owns reading a topic of ours as events: a subscription whose messages are acknowledged in the commit of their events.

The broker gives order per key, redelivery, dead letters and lag, as for any subscription. What comes into a topic from
elsewhere, such as a subject of NATS, so becomes events as well. Refuses what can be no event: it is a dead letter.
"""

from collections.abc import Callable

import msgspec

from workflow_router.core.errors import Forbidden, InvalidInput
from workflow_router.core.event_mappings.ingest import Ingest
from workflow_router.core.event_mappings.perform import Performed
from workflow_router.core.event_mappings.plan import CHAIN
from workflow_router.core.event_sources.chains import chain_behind
from workflow_router.core.expressions import Template, compile_template
from workflow_router.core.message_broker.consume import Handle
from workflow_router.core.message_broker.effects import handling
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.message_broker.publish import scope_of
from workflow_router.core.model import OWN_TYPE, Delivery, Event, Transition
from workflow_router.core.ports import Store, Transaction
from workflow_router.utils.clock import rfc3339

MESSAGE = OWN_TYPE + "message"
CONCURRENCY = 50
TYPE_MAX = 256


class TopicSource(msgspec.Struct, frozen=True, kw_only=True):
    """A topic whose messages are events.

    Attributes:
        subscription: where it begins, and how often a message is tried.
        type: template of the events' type; reads `message`.
    """

    name: str
    subscription: Subscription
    type: str = MESSAGE

    @property
    def source(self) -> str:
        """The `source` attribute of its events."""
        return topic_source(self.subscription.topic)


def topic_source(topic: str) -> str:
    """The `source` attribute of events that are messages of a topic."""
    return f"/topics/{topic}"


def subscription_name(source: str) -> str:
    """The name of a source's subscription, by which its lag and its dead letters are found."""
    return f"source.{source}"


def event_of(source: TopicSource, kind: Template, delivery: Delivery, chain: str | None) -> Event:
    """The event that a message is. Raises InvalidInput where its type is none, ExpressionFailed."""
    rendered = kind.render(scope_of(delivery))
    own = source.type != MESSAGE and str(rendered).startswith(OWN_TYPE)
    if not isinstance(rendered, str) or not 0 < len(rendered) <= TYPE_MAX or own:
        raise InvalidInput(
            f"{str(rendered)[:100]!r} is no type of an event of the source {source.name}.",
            remedy=f"Let `type` be a text up to {TYPE_MAX} characters that does not begin with {OWN_TYPE}",
        )
    known = {"causeid": delivery.cause, "correlationid": delivery.correlation, CHAIN: chain}
    return Event(
        id=delivery.message_id,
        source=source.source,
        type=rendered,
        subject=delivery.key or None,
        time=rfc3339(delivery.published_ms),
        datacontenttype="application/json",
        data=delivery.body,
        extensions={name: value for name, value in known.items() if value is not None},
    )


def handler_of(source: TopicSource, store: Store, ingest: Ingest) -> Handle:
    """What takes a message in as an event, in the commit that acknowledges it."""
    kind = compile_template(source.type, variables=("message",))

    async def handle(delivery: Delivery) -> object:
        chain = await store.read(lambda tx: _chain(tx, delivery))
        event = event_of(source, kind, delivery, chain)
        records: list[Transition] = []
        if ingest.guard is not None:
            try:
                held, event, records = await ingest.guard.accept(event, delivery.tenant, None)
            except Forbidden:  # an interceptor said no, and that is recorded
                return None
            if held is not None:
                return None
        taken: list[Performed] = []

        async def unit(tx: Transaction) -> None:
            taken[:] = [Performed()]
            for record in records:
                tx.record(record)
            await ingest.take_within(tx, event, taken[0], tenant=delivery.tenant, correlation=delivery.correlation)

        effects = handling()
        if effects is not None:
            effects.add(unit, _teller(ingest, taken))
        return None

    return handle


async def _chain(tx: Transaction, delivery: Delivery) -> str | None:
    return await chain_behind(tx, delivery.message_id) or await chain_behind(tx, delivery.cause)


def _teller(ingest: Ingest, taken: list[Performed]) -> Callable[[], None]:
    def tell() -> None:
        for done in taken:
            ingest.tell(done)

    return tell
