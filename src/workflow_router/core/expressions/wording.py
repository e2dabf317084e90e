"""Owns how expressions are quoted in errors. Refuses to quote values: a scope may hold secrets."""

_QUOTED_MAX = 80


def quote(text: str) -> str:
    """The source text between backticks, shortened, on one line."""
    line = " ".join(text.split())
    return f"`{line if len(line) <= _QUOTED_MAX else line[: _QUOTED_MAX - 1] + '…'}`"
