"""Owns what `classes:` may say, its checks, and its compiling. Refuses to classify."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from workflow_router.core.classification.classifier import Classifier, Model, Person, Rule, Semantic
from workflow_router.core.errors import RouterError
from workflow_router.core.expressions import compile_condition, compile_template
from workflow_router.core.patterns import Pattern
from workflow_router.network.embedding import EXTRA, folder
from workflow_router.settings.bind import did_you_mean
from workflow_router.settings.values import Duration, Name, Text

Mistaken = Callable[[tuple[str | int, ...], str, str], None]
Share = Annotated[float, Meta(ge=0, le=1)]
EXAMPLES_MAX = 1_000
SEEN = ("event", "state")


class RuleOfClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An exact rule: `into` is the class of events that match `on`, a pattern, and `when`, a condition."""

    into: Text
    on: dict[str, object] | None = None
    when: Text | None = None


class SemanticClasses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Classes by labelled examples: texts by class.

    The nearest example decides, where it is as similar as `threshold` and no other class is nearer than `margin`. The
    small local model embeds; with `route`, a target with OpenAI's `/v1/embeddings` does.
    """

    examples: Annotated[dict[Name, Annotated[list[Text], Meta(min_length=1)]], Meta(min_length=1)]
    threshold: Share = 0.4
    margin: Share = 0.1
    route: Name | None = None
    model: Text | None = None


class ModelOfClasses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route to a chat model, which must answer with a class; `guide` is told to it besides what classes mean."""

    route: Name
    model: Text | None = None
    threshold: Share = 0.7
    guide: str = ""


class PersonOfClasses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """People of these `roles` choose, within a time."""

    roles: list[Text] = []
    within: Duration | None = None


class Classes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events are classified, by what text, into which classes; and the stages, asked until one is sure.

    Exact `rules` come first, then `semantic`, `model` and `person`, those that are there; else it is `otherwise`.
    """

    on: dict[str, object]
    into: dict[Name, str]
    when: Text | None = None
    text: object = "${ event.data }"
    rules: list[RuleOfClass] = []
    semantic: SemanticClasses | None = None
    model: ModelOfClasses | None = None
    person: PersonOfClasses | None = None
    otherwise: Name | None = None


def check_classes(name: str, classes: Classes, *, routes: Iterable[str], mistaken: Mistaken) -> None:
    """Tell every mistake."""

    def compiled(where: tuple[str | int, ...], compiling: Callable[[], object]) -> None:
        try:
            compiling()
        except RouterError as error:
            mistaken(where, error.message, error.remedy)

    def known(where: tuple[str | int, ...], label: str | None) -> None:
        if label is not None and label not in classes.into:
            mistaken(where, f"`{label}` is no class of `{name}`.", did_you_mean(label, classes.into))

    if not classes.into:
        mistaken(("into",), "`into` names no class.", "Write each class with what it means.")
    compiled(("on",), lambda: Pattern.parse(classes.on))
    if classes.when is not None:
        compiled(("when",), lambda: compile_condition(classes.when or "", variables=SEEN))
    compiled(("text",), lambda: compile_template(classes.text, variables=SEEN))
    known(("otherwise",), classes.otherwise)
    for at, rule in enumerate(classes.rules):
        known(("rules", at, "into"), rule.into)
        if rule.on is None and rule.when is None:
            mistaken(("rules", at), "The rule holds for everything.", "Write `on` or `when`; or use `otherwise`.")
        compiled(("rules", at), lambda rule=rule: _rule(rule))
    listed = list(routes)
    for field, stage in (("semantic", classes.semantic), ("model", classes.model)):
        if stage is not None and stage.route is not None and stage.route not in listed:
            mistaken((field, "route"), f"There is no route `{stage.route}`.", did_you_mean(stage.route, listed))
    if classes.semantic is not None:
        for label in classes.semantic.examples:
            known(("semantic", "examples", label), label)
        if sum(map(len, classes.semantic.examples.values())) > EXAMPLES_MAX:
            mistaken(("semantic", "examples"), f"There are more than {EXAMPLES_MAX} examples.", "Keep the best.")
        if classes.semantic.route is None and folder() is None:
            mistaken(("semantic",), "The small local model is not installed.", f"{EXTRA}, or name a `route`.")


def _rule(rule: RuleOfClass) -> Rule:
    return Rule(
        rule.into,
        None if rule.on is None else Pattern.parse(rule.on),
        None if rule.when is None else compile_condition(rule.when),
    )


def classifiers_of(classes: Mapping[str, Classes]) -> list[Classifier]:
    """The classes as the cascade takes them."""
    return [_classifier(name, one) for name, one in classes.items()]


def _classifier(name: str, one: Classes) -> Classifier:
    semantic, model, person = one.semantic, one.model, one.person
    return Classifier(
        name=name,
        into=one.into,
        pattern=Pattern.parse(one.on),
        when=one.when,
        text=compile_template(one.text, variables=SEEN),
        rules=tuple(map(_rule, one.rules)),
        semantic=semantic
        and Semantic(
            examples={label: list(texts) for label, texts in semantic.examples.items()},
            threshold=semantic.threshold,
            margin=semantic.margin,
            route=semantic.route,
            model=semantic.model,
        ),
        model=model and Model(route=model.route, threshold=model.threshold, model=model.model, guide=model.guide),
        person=person and Person(roles=list(person.roles), within=person.within),
        otherwise=one.otherwise,
    )
