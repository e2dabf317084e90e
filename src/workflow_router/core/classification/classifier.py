"""Owns what a classifier is made of, as frozen data. Refuses to decide: that is `decide`."""

import msgspec

from workflow_router.core.expressions import Template
from workflow_router.core.expressions.condition import Condition
from workflow_router.core.model import OWN_TYPE
from workflow_router.core.patterns import Pattern

CLASSIFIED = OWN_TYPE + "classified"
CLASSIFY = "router.classify"  # the workflow that classifies
TEXT_MAX = 8_000  # characters that models are given


class Rule(msgspec.Struct, frozen=True):
    """An exact rule: the class of events that match the pattern and the condition."""

    chosen: str
    pattern: Pattern | None
    condition: Condition | None


class Semantic(msgspec.Struct, frozen=True, kw_only=True):
    """Classes by labelled examples: that of the nearest one, by the cosine of embeddings.

    Attributes:
        threshold: the least similarity, 0 to 1. margin: the least distance to the next class.
        route, model: what embeds; the small local model where there is no route.
    """

    examples: dict[str, list[str]]
    threshold: float
    margin: float
    route: str | None = None
    model: str | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A route to a chat model, which answers with one of the classes and how sure it is."""

    route: str
    threshold: float
    model: str | None = None
    guide: str = ""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A question to people, who choose one of the classes."""

    roles: list[str]
    within: str | None


class Classifier(msgspec.Struct, frozen=True, kw_only=True):
    """A cascade: each stage that is there is asked in order, until one is sure enough.

    Attributes:
        into: the classes, each with what it means.
        text: template of what is read by examples and models.
        otherwise: the class where no stage was sure.
    """

    name: str
    into: dict[str, str]
    pattern: Pattern
    when: str | None
    text: Template
    rules: tuple[Rule, ...]
    semantic: Semantic | None
    model: Model | None
    person: Person | None
    otherwise: str | None

    @property
    def mapping(self) -> str:
        """The name of the mapping that starts it."""
        return f"class.{self.name}"

    @property
    def source(self) -> str:
        """The `source` attribute of what it finds."""
        return f"/classes/{self.name}"


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"chosen": "class"}):
    """What one stage found.

    Attributes:
        stage: `rules`, `semantic`, `model`, `person` or `otherwise`.
        chosen: the class, where it found one. confidence: how sure it is of it, 0 to 1.
        accepted: whether that was enough. why: why not, or what decided.
    """

    stage: str
    chosen: str | None = None
    confidence: float = 0.0
    accepted: bool = False
    why: str = ""
