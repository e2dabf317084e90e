"""Owns what the garbage collector is told of a router: what is there when it opens stays, and need not be walked again.

A full collection walks every object of the process, modules included, and durable work makes one due every second or
so: that took a tenth of the CPU time of a run. Looking after the young ones as often as Python does by default took as
much again, since what a run in flight consists of outlives several such looks. Refuses to run a collection, and to
change what a program has set itself.
"""

import contextlib
import gc
from collections.abc import Generator

# Hardly anything here is part of a cycle, so the collector need not look after every few requests: it took 7 % of the
# CPU time of the gateway.
OURS = (20_000, 50, 50)
# Within somebody's program, whose own cycles are still to be found soon enough.
WITHIN = (20_000, 10, 10)
_USUAL = {(700, 10, 10), (2_000, 10, 10), (2_000, 10, 0)}  # of Python 3.11 to 3.14


def settle() -> None:
    """For a process that does nothing but serve, once it is ready."""
    gc.freeze()
    gc.set_threshold(*OURS)


@contextlib.contextmanager
def settled() -> Generator[None, None, None]:
    """For a part of somebody's program: what there is now is left out of collections, and these are rarer, until the
    block ends.

    A program that freezes its objects itself, or has thresholds of its own, is left as it is.
    """
    usual = gc.get_threshold()
    frozen, rarer = gc.get_freeze_count() == 0, usual in _USUAL
    if frozen:
        gc.freeze()
    if rarer:
        gc.set_threshold(*WITHIN)
    try:
        yield
    finally:
        if frozen:
            gc.unfreeze()
        if rarer:
            gc.set_threshold(*usual)
