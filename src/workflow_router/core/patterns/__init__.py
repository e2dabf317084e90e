"""Event patterns: the language (docs/patterns.md), one pattern's verdict and its explanation, and an index of many."""

from workflow_router.core.patterns.explain import Explanation
from workflow_router.core.patterns.index import PatternIndex
from workflow_router.core.patterns.pattern import Pattern

__all__ = ["Explanation", "Pattern", "PatternIndex"]
