"""Owns handing a project to the engines in their words: mappings, routes, subscriptions. Refuses to judge it again."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from workflow_router.core.dispatch_route import model as dispatch
from workflow_router.core.dispatch_route.steer import Steering
from workflow_router.core.errors import InvalidInput, InvalidProject, Mistake
from workflow_router.core.event_mappings import mapping as events
from workflow_router.core.event_mappings.bulk import in_bulk
from workflow_router.core.event_mappings.ingest import specification_of
from workflow_router.core.event_mappings.joining import join_mappings
from workflow_router.core.event_mappings.target import Target, compile_target
from workflow_router.core.event_sources.sources import LifecycleSource
from workflow_router.core.event_sources.topics import TopicSource
from workflow_router.core.expressions import compile_condition, compile_template
from workflow_router.core.message_broker.ports import Subscription, Topic
from workflow_router.core.patterns.filters import pattern_of
from workflow_router.settings import model, sources
from workflow_router.settings.limits import serving_of
from workflow_router.settings.model import Project
from workflow_router.settings.resolve import unresolved, value_of
from workflow_router.settings.routes import Target as RouteTarget
from workflow_router.settings.secrets import reference_of
from workflow_router.settings.sources import TopicLimits
from workflow_router.settings.targets import MappingTarget, target_fields
from workflow_router.settings.values import Reference, moment_ms
from workflow_router.utils.backoff import Backoff
from workflow_router.utils.codec import to_json

SEEN = ("event", "state")  # what the expressions of a mapping see


def mappings_of(project: Project) -> list[events.Mapping]:
    """The mappings that are not disabled, compiled."""
    with in_bulk(len(project.router.mappings)):
        return [mapping_of(mapping) for mapping in project.router.mappings if not mapping.disabled]


def mapping_of(mapping: model.Mapping) -> events.Mapping:
    """One mapping, compiled."""
    return events.Mapping(
        name=mapping.name,
        pattern=pattern_of(mapping.on, mapping.filters),
        condition=None if mapping.when is None else compile_condition(mapping.when, variables=SEEN),
        targets=_targets(mapping, mapping.targets),
        specification=specification_of(mapping),
        stage=mapping.stage,
        share=mapping.share,
        share_key=None if mapping.share_key is None else compile_template(mapping.share_key, variables=SEEN),
    )


def joins_of(project: Project) -> list[events.Mapping]:
    """The mappings that the joins are made of, but for those disabled."""
    made: list[events.Mapping] = []
    for join in project.router.joins:
        if not join.disabled:
            fields = ("kind", "parts", "within", "key", "count")
            rule = {name: msgspec.to_builtins(getattr(join, name)) for name in fields}
            made.extend(join_mappings(join.name, rule, _targets(join, join.targets), join, variables=SEEN))
    return made


def _targets(own: MappingTarget, others: list[MappingTarget]) -> tuple[Target, ...]:
    rules = [rule for one in (own, *others) if (rule := target_fields(one)) is not None]
    return tuple(compile_target(rule, variables=SEEN) for rule in rules)


def routes_of(project: Project, *, environ: Mapping[str, str] = os.environ) -> list[dispatch.Route]:
    """The routes as the dispatcher takes them. Addresses are resolved; keys stay references.

    Raises:
        InvalidProject: with every address that cannot be had or used.
    """
    mistakes: list[Mistake] = []
    routes: list[dispatch.Route] = []
    for name in project.router.routes:
        try:
            routes.append(route_of(project, name, environ=environ))
        except InvalidProject as error:
            mistakes += error.mistakes
    if mistakes:
        raise InvalidProject(mistakes)
    return routes


def route_of(project: Project, name: str, *, environ: Mapping[str, str] = os.environ) -> dispatch.Route:
    """One of them. Raises InvalidProject."""
    route = project.router.routes[name]
    mistakes: list[Mistake] = []
    targets: list[dispatch.Target] = []
    for at, target in enumerate(route.targets):
        where = ("routes", name, "targets", at, "url")
        try:
            url = value_of(project, target.url, where, environ) if isinstance(target.url, Reference) else target.url
            targets.append(_target(project.folder, target, url or ""))
        except InvalidProject as error:
            mistakes += error.mistakes
        except ValueError as error:
            mistakes += unresolved(project, where, str(error), "Mend the address where it is set.").mistakes
    if mistakes:
        raise InvalidProject(mistakes)
    given = route.retry
    made = dispatch.Route(
        name=name,
        targets=tuple(targets),
        policy=route.policy,
        retry=dispatch.Retry(
            attempts=given.attempts,
            backoff=Backoff(first_s=given.first_s, max_s=given.max_s),
            wait_max_s=given.wait_max_s,
            budget=given.budget,
        ),
        rules=tuple(route.rules),
        sticky=route.sticky,
        canary=route.canary,
        shadow=route.shadow,
        experiment=route.experiment,
        hedge=route.hedge,
        outlier=route.outlier,
        deadline_s=route.deadline_s,
        serving=serving_of(route.record, route.queue, route.cache, route.keep_bodies),
    )
    try:
        Steering.of(made)
    except InvalidInput as error:
        raise unresolved(project, ("routes", name), error.message, error.remedy) from None
    return made


def topics_of(project: Project) -> list[Topic]:
    """The topics as the broker takes them."""
    return [
        Topic(
            name=name,
            max_messages=topic.max_messages,
            max_bytes=topic.max_bytes,
            when_full=topic.when_full,
            keep_s=topic.keep_s,
            keep_messages=topic.keep_messages,
            deduplication_s=topic.deduplication_s,
        )
        for name, topic in project.router.topics.items()
    ]


def sources_of(project: Project) -> list[TopicSource | LifecycleSource]:
    """The sources that the router reads by itself."""
    limits = {
        name: TopicLimits(topic.max_deliveries, int(topic.lease_s * 1000))
        for name, topic in project.router.topics.items()
    }
    return sources.sources_of(project.router.sources, limits)


def subscriptions_of(project: Project) -> list[Subscription]:
    """The subscriptions as the broker takes them, each with the limits of its topic where it has none of its own."""
    topics = project.router.topics
    return [
        Subscription(
            name=subscription.name,
            topic=subscription.topic,
            start=subscription.start,
            signal=subscription.signal,
            workflow=subscription.workflow,
            route=subscription.route,
            secret=reference_of(project.folder, subscription.secret),
            filter=None if subscription.filter is None else to_json(subscription.filter),
            input=to_json(subscription.input),
            max_deliveries=subscription.max_deliveries or topics[subscription.topic].max_deliveries,
            lease_ms=int((subscription.lease_s or topics[subscription.topic].lease_s) * 1000),
            begin=moment_ms(subscription.begin) or "now",
            on_failure=subscription.on_failure,
            prefetch=subscription.prefetch,
        )
        for subscription in project.router.subscriptions
    ]


def _target(folder: Path, target: RouteTarget, url: str) -> dispatch.Target:
    key = reference_of(folder, target.key)
    limit_s = target.timeout_s
    return dispatch.Target(
        name=target.name,
        kind=target.kind,
        url=url,
        model=target.model,
        weight=target.weight,
        key=key,
        key_header=target.key_header,
        pass_headers=tuple(target.pass_headers),
        timeouts=target.timeouts
        or dispatch.Timeouts(connect_s=min(5.0, limit_s), first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s),
        breaker=target.breaker,
        probe=target.probe,
        cost=target.cost,
        max_in_flight=target.max_in_flight,
        concurrency=target.concurrency,
        allow_private=target.allow_private,
    )
