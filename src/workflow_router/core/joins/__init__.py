"""Joins over time: what was asked for (`Join`), what came so far (`Held`), and how one item or the clock changes it."""

from workflow_router.core.joins.advance import advance, due_ms, expire
from workflow_router.core.joins.join import EMPTY, Advanced, Held, Item, Join, JoinKind

__all__ = ["EMPTY", "Advanced", "Held", "Item", "Join", "JoinKind", "advance", "due_ms", "expire"]
