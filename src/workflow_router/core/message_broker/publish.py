"""Owns who gets a message: topics, subscriptions and their filters. Refuses to store or deliver."""

from collections.abc import Iterable

import msgspec

from workflow_router.core.errors import InvalidInput, NotFound
from workflow_router.core.expressions import Template, compile_template
from workflow_router.core.message_broker.ports import Subscription
from workflow_router.core.model import NewMessage
from workflow_router.core.patterns import Pattern
from workflow_router.utils.codec import from_json


class _Reader(msgspec.Struct, frozen=True):
    """A subscription with its filter and template compiled."""

    subscription: Subscription
    filter: Pattern | None
    input: Template


class Topics:
    """The topics and subscriptions in force. They are replaced as a whole."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._readers: dict[str, _Reader] = {}
        self._by_topic: dict[str, list[_Reader]] = {}

    @property
    def topics(self) -> list[str]:
        """Names of the topics, sorted."""
        return sorted(self._topics)

    @property
    def subscriptions(self) -> list[Subscription]:
        """The subscriptions in force."""
        return [reader.subscription for reader in self._readers.values()]

    def replace(self, topics: Iterable[str], subscriptions: Iterable[Subscription]) -> None:
        """Put these in force. Raises InvalidInput (unknown topic), InvalidPattern, InvalidExpression."""
        names = set(topics)
        readers: dict[str, _Reader] = {}
        by_topic: dict[str, list[_Reader]] = {name: [] for name in names}
        for subscription in subscriptions:
            if subscription.topic not in names:
                raise InvalidInput(
                    f"Subscription {subscription.name} reads the unknown topic {subscription.topic}.",
                    remedy="Declare the topic.",
                )
            template = "${ message.body }" if subscription.input is None else from_json(subscription.input)
            reader = _Reader(
                subscription,
                None if subscription.filter is None else Pattern.parse(subscription.filter),
                compile_template(template),
            )
            readers[subscription.name] = reader
            by_topic[subscription.topic].append(reader)
        self._topics, self._readers, self._by_topic = names, readers, by_topic

    def subscription(self, name: str) -> Subscription:
        """The subscription of that name. Raises NotFound."""
        return self._reader(name).subscription

    def input_of(self, name: str) -> Template:
        """The template of the input of the runs that a subscription starts. Raises NotFound."""
        return self._reader(name).input

    def check_topic(self, name: str) -> None:
        """Raise NotFound for an unknown topic."""
        if name not in self._topics:
            known = ", ".join(self.topics) or "none"
            raise NotFound(
                f"There is no topic {name}; known are: {known}.", remedy="Declare it under `topics` in router.yaml."
            )

    def recipients(self, message: NewMessage) -> list[str]:
        """Names of the subscriptions that get this message. Raises NotFound for an unknown topic."""
        self.check_topic(message.topic)
        found: list[str] = []
        seen: dict[str, object] | None = None
        for reader in self._by_topic[message.topic]:
            if reader.filter is not None:
                if seen is None:
                    seen = {"key": message.key, "headers": message.headers, "body": from_json(message.body)}
                if not reader.filter.matches(seen):
                    continue
            found.append(reader.subscription.name)
        return found

    def _reader(self, name: str) -> _Reader:
        reader = self._readers.get(name)
        if reader is None:
            known = ", ".join(self._readers) or "none"
            raise NotFound(f"There is no subscription {name}; known are: {known}.", remedy="Check the name.")
        return reader
