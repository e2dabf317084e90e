"""Owns how often fault suites repeat themselves: a few times in `make test`, many times in `make soak`.

`SOAK` is the share of the large counts: `make soak SOAK=0.01` plays a hundredth of them, to see that all of them work.
"""

import os

SHARE = float(os.environ.get("SOAK") or 0)


def rounds(few: int, many: int) -> int:
    """So often: `few` times, or in a soak its share of `many`, and never fewer than `few`."""
    return max(few, round(many * SHARE))
