"""Owns building very many mappings at once without the garbage collector going over them again and again.

Compiled patterns live long and are no garbage. The cyclic collector still looks at each of them, several times while
they are made, and at all of them in each full collection, which would hold up matching for a second with 100,000.
Refuses to touch it for few.
"""

import contextlib
import gc
from collections.abc import Generator

BULK_MIN = 1_000


@contextlib.contextmanager
def in_bulk(count: int, *, lasting: bool = False) -> Generator[None, None, None]:
    """Until the block ends, which makes so many mappings, nothing is collected. The block waits for nothing.

    Args:
        lasting: take what there is at its end out of later collections, before the first of them.
    """
    if count < BULK_MIN or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if lasting:
            gc.freeze()
        gc.enable()


def settle_in(count: int) -> None:
    """Take what there is now out of later collections, where so many mappings were made."""
    if count >= BULK_MIN and gc.isenabled():
        gc.freeze()
