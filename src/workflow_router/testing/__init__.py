"""Owns the public test kit: virtual time, a stage on which routers play in memory, crashes, and fakes of targets.

The engine and the store are the real ones; only time, the network and the power are made up.
"""

from workflow_router.testing.stage import Stage, play
from workflow_router.testing.targets import FakeTargets
from workflow_router.testing.virtual_time import START_MS, VirtualClock, VirtualLoop, run_virtually

__all__ = ["START_MS", "FakeTargets", "Stage", "VirtualClock", "VirtualLoop", "play", "run_virtually"]
