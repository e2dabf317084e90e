"""Owns what a project must hold beyond its shape: patterns, expressions, names, references and files.

Refuses to judge what only the running system can know: whether a variable is set is a warning here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from workflow_router.core.dispatch_route import model as dispatch
from workflow_router.core.dispatch_route.steer import Steering
from workflow_router.core.errors import InvalidInput, Mistake
from workflow_router.settings import bridges, model, routes, values
from workflow_router.settings.bind import did_you_mean, dotted
from workflow_router.settings.check_mappings import MappingChecker
from workflow_router.settings.classes import Classes, check_classes
from workflow_router.settings.document import Node, Where, find
from workflow_router.settings.modules import modules_of
from workflow_router.settings.names import check_names
from workflow_router.settings.references import References
from workflow_router.settings.schedules import Schedule, schedule_of
from workflow_router.settings.sources import Source, check_source
from workflow_router.settings.steps import known, names_of

_ANY_URL = "http://localhost"


def check(
    folder: Path,
    router: model.RouterFile,
    document: Node,
    *,
    environ: Mapping[str, str],
    mistakes: list[Mistake],
    warnings: list[Mistake],
) -> tuple[Path, ...]:
    """Add every mistake and warning; return the Python modules of the project.

    The struct may be one with mistakes noted already: then its wrong parts are None, whatever their type says.
    """
    return _Checker(folder, document, environ, mistakes, warnings).router(router)


class _Checker(MappingChecker):
    """One pass over a project."""

    def __init__(
        self,
        folder: Path,
        document: Node,
        environ: Mapping[str, str],
        mistakes: list[Mistake],
        warnings: list[Mistake],
    ) -> None:
        super().__init__(model.RouterFile(name="x"), document, mistakes, warnings)
        self._folder = folder
        self._references = References(folder, environ, (), self._mistake, self._warn)
        self._environ = environ

    def router(self, router: model.RouterFile) -> tuple[Path, ...]:
        self._router = router
        self._references = References(self._folder, self._environ, router.secrets.keys(), self._mistake, self._warn)
        self._settings(router.settings)
        for name, source in known(router.sources.items()):
            self._source(name, source, ("sources", name))
        self._unique("mappings", names_of(router.mappings))
        for at, mapping in known(enumerate(router.mappings)):
            self.mapping(mapping, ("mappings", at))
        self._unique("joins", names_of(router.joins))
        for at, join in known(enumerate(router.joins)):
            self.join(join, ("joins", at))
        for name, route in known(router.routes.items()):
            self._route(route, ("routes", name), router.routes)
        self._unique("limits", names_of(router.limits))
        for at, rule in known(enumerate(router.limits)):
            if rule.window is not None:  # pyright: ignore[reportUnnecessaryComparison]  None where it was a mistake
                self._accepted(("limits", at), rule.limit, "Write one of requests, tokens and money, and a window.")
        if router.prices is not None and router.prices.unknown == "default" and router.prices.default is None:  # pyright: ignore[reportUnnecessaryComparison]  None where it was a mistake
            self._mistake(("prices", "unknown"), "There is no default price.", "Add `default:` beside `unknown:`.")
        self._unique("subscriptions", names_of(router.subscriptions))
        for at, subscription in known(enumerate(router.subscriptions)):
            self._subscription(subscription, ("subscriptions", at), router.topics)
        self._unique("bridges", names_of(router.bridges))
        for at, bridge in known(enumerate(router.bridges)):
            self._bridge(bridge, ("bridges", at), router)
        self._unique("schedules", names_of(router.schedules))
        for at, schedule in known(enumerate(router.schedules)):
            self._schedule(schedule, ("schedules", at))
        for name, classes in known(router.classes.items()):
            self._classes(name, classes, ("classes", name))
        check_names(router, self._mistake)
        return modules_of(self._folder, router.python, self._mistake)

    def _settings(self, settings: model.Settings) -> None:
        if settings.address[1] > 65_535:
            self._mistake(("settings", "listen"), "The port of `settings.listen` is above 65535.", "Write a lower one.")
        if isinstance(settings.store, values.Reference):
            self._references.value(settings.store, ("settings", "store"))
        elif urlsplit(settings.store).password:
            self._warn(
                ("settings", "store"), "`settings.store` holds a password.", "Write {env: DATABASE_URL} instead."
            )
        if settings.audit.key is not None:
            self._references.secret(settings.audit.key, ("settings", "audit", "key"))
        oidc = settings.access.oidc
        if oidc is not None and oidc.console is not None and oidc.console.client_secret is not None:
            self._references.secret(
                oidc.console.client_secret, ("settings", "access", "oidc", "console", "client_secret")
            )
        for where, secret in settings.approvals.secrets:
            self._references.secret(secret, ("settings", "approvals", *where))

    def _source(self, name: str, source: Source, where: Where) -> None:
        check_source(
            name,
            source,
            written=lambda field: find(self._document, (*where, field)) is not None,
            topics=self._router.topics,
            subscriptions=names_of(self._router.subscriptions),
            mistaken=lambda at, message, remedy: self._mistake((*where, *at), message, remedy),
        )
        several = isinstance(source.secret, list)
        for index, secret in known(enumerate(source.secrets)):
            self._references.secret(secret, (*where, "secret", index) if several else (*where, "secret"))
        if several and not source.secrets:
            at = (*where, "secret")
            self._mistake(at, f"`{dotted(at)}` is an empty list.", "Write at least one secret.")

    def _classes(self, name: str, classes: Classes, where: Where) -> None:
        if any(line is None for line in (classes.on, classes.into)) or self._mistakes:  # pyright: ignore[reportUnnecessaryComparison]  None where it was a mistake
            return  # what is noted already comes first: the parts of these lean on each other
        check_classes(
            name,
            classes,
            routes=self._router.routes,
            mistaken=lambda at, message, remedy: self._mistake((*where, *at), message, remedy),
        )

    def _schedule(self, schedule: Schedule, where: Where) -> None:
        try:
            schedule_of(schedule)
        except InvalidInput as error:
            self._mistake(where, error.message, error.remedy)
        except TypeError:  # a part of it was a mistake, which is noted already
            return

    def _subscription(self, subscription: model.Subscription, where: Where, topics: Mapping[str, model.Topic]) -> None:
        self._topic(subscription.topic, (*where, "topic"), topics)
        if subscription.filter is not None:
            self._pattern(subscription.filter, (*where, "filter"))
        self._template(subscription.input, (*where, "input"), "message")
        does = [name for name in ("start", "signal", "route") if getattr(subscription, name) is not None]
        if len(does) > 1:
            self._mistake(where, f"The subscription has both `{'` and `'.join(does)}`.", "Write one of them.")
        if (subscription.signal is None) != (subscription.workflow is None):
            self._mistake(where, "`signal` and `workflow` belong together.", "Write both, or none.")
        if (subscription.signal or "").startswith(("+", "~")):
            message = f"`{subscription.signal}`: signals whose names begin with + or ~ are the router's own."
            self._mistake((*where, "signal"), message, "Choose another name.")
        if subscription.route is not None and subscription.route not in self._router.routes:
            remedy = did_you_mean(subscription.route, self._router.routes)
            self._mistake((*where, "route"), f"There is no route `{subscription.route}`.", remedy)
        if subscription.secret is not None:
            self._references.dispatched(subscription.secret, (*where, "secret"))
            if subscription.route is None:
                self._mistake((*where, "secret"), "Only webhooks are signed.", "Write a `route`, or no `secret`.")
        if subscription.begin is not None and values.moment_ms(subscription.begin) is None:  # pyright: ignore[reportUnnecessaryComparison]  None where it was a mistake
            self._mistake((*where, "begin"), f"`{subscription.begin}` is no time.", "Mend the date.")

    def _bridge(self, bridge: bridges.Bridge, where: Where, router: model.RouterFile) -> None:
        self._topic(bridge.topic, (*where, "topic"), router.topics)
        self._pattern(bridge.filter, (*where, "filter"))
        self._template(bridge.send, (*where, "send"), "message")
        if bridge.send is None and bridge.receive is None:
            self._mistake(where, f"The bridge `{bridge.name}` goes nowhere.", "Write `send`, `receive`, or both.")
        if bridge.name in names_of(router.subscriptions):
            self._mistake((*where, "name"), f"`{bridge.name}` is a subscription, too.", "Rename one.")
        if bridge.begin is not None and values.moment_ms(bridge.begin) is None:  # pyright: ignore[reportUnnecessaryComparison]  None where it was a mistake
            self._mistake((*where, "begin"), f"`{bridge.begin}` is no time.", "Mend the date.")
        for field in ("servers", "system"):
            given = getattr(bridge, field)
            if isinstance(given, values.Reference):
                self._references.value(given, (*where, field))
            elif isinstance(given, str) and bridges.has_password(given):
                self._warn((*where, field), f"`{field}` holds a password.", "Write {env: NATS_URL} instead.")

    def _route(self, route: routes.Route, where: Where, declared: Mapping[str, routes.Route]) -> None:
        targets = list(known(enumerate(route.targets or [])))
        at = (*where, "targets")
        self._unique(at, names_of(route.targets or []))
        for index, target in targets:
            self._target(target, (*at, index))
        if route.policy == "weighted" and targets and not any(target.weight for _, target in targets):
            self._mistake(at, f"Every target of `{dotted(where)}` has weight 0.", "Give one of them a weight.")
        rules = list(known(enumerate(route.rules or [])))
        for index, rule in rules:
            if rule.route is not None and rule.route not in declared:
                self._mistake(
                    (*where, "rules", index), f"There is no route `{rule.route}`.", did_you_mean(rule.route, declared)
                )
        if targets and len(targets) == len(route.targets) and all(target.name for _, target in targets):
            stand_ins = tuple(dispatch.Target(name=target.name, kind="http", url=_ANY_URL) for _, target in targets)
            try:
                Steering.of(
                    dispatch.Route(
                        name=str(where[-1]),
                        targets=tuple({target.name: target for target in stand_ins}.values()),
                        rules=tuple(rule for _, rule in rules),
                        sticky=route.sticky,
                        canary=route.canary,
                        shadow=route.shadow,
                        experiment=route.experiment,
                    )
                )
            except InvalidInput as error:
                self._mistake(where, error.message, error.remedy or "Mend it; see docs/howto/routes.md.")
            except ValueError as error:
                self._mistake(where, str(error), "Mend it; see docs/howto/routes.md.")
        if route.retry.first_s > route.retry.max_s:
            self._mistake((*where, "retry"), "`first_s` is longer than `max_s`.", "Swap them.")

    def _target(self, target: routes.Target, where: Where) -> None:
        url = target.url
        if isinstance(url, values.Reference):
            self._references.value(url, (*where, "url"))
            url = url.value or url.default
        address, key_header, headers = url or _ANY_URL, target.key_header, tuple(target.pass_headers)
        inside = target.kind in dispatch.INSIDE
        if inside == (target.url is not None):
            told = "has a `url`, but is inside the router" if inside else "has no `url`"
            self._mistake(where, f"`{dotted(where)}` {told}.", "Remove it." if inside else "Add `url:`.")
        self._accepted((*where, "url"), lambda: dispatch.Target(name="x", kind="http", url=address))
        for field, names in (("key_header", (key_header,)), ("pass_headers", headers)):
            self._accepted(
                (*where, field),
                lambda names=names: dispatch.Target(name="x", kind="http", url=_ANY_URL, pass_headers=names),
            )
        if target.key is not None:
            self._references.dispatched(target.key, (*where, "key"))

    def _accepted(self, where: Where, make: Callable[[], object], remedy: str = "") -> None:
        """Let the engine's own struct judge, so that what passes here is accepted there."""
        try:
            make()
        except ValueError as error:
            self._mistake(
                where,
                str(error).replace(" of target 'x'", ""),
                remedy
                or ("Write it as in https://HOST/PATH." if where[-1] == "url" else "Write names such as x-api-key."),
            )
