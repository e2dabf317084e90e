"""Owns what the garbage collector is told of a router: what is there when it opens stays, and need not be walked again.

A full collection walks every object of the process, modules included, and durable work makes one due every second or
so: that took a tenth of the CPU time of a run. Refuses to run a collection, and to change thresholds of a program that
is not ours.
"""

import contextlib
import gc
from collections.abc import Generator

# Hardly anything here is part of a cycle, so the collector need not look after every few requests: it took 7 % of the
# CPU time of the gateway.
OURS = (20_000, 50, 50)


def settle() -> None:
    """For a process that does nothing but serve, once it is ready."""
    gc.freeze()
    gc.set_threshold(*OURS)


@contextlib.contextmanager
def settled() -> Generator[None, None, None]:
    """For a part of somebody's program: what there is now is left out of collections until the block ends.

    A program that freezes its objects itself is left as it is.
    """
    ours = gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()
