"""Owns `wr top`: asks, draws, and listens for a key, none waiting for another. Refuses to change anything."""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Generator
from types import FrameType
from typing import TYPE_CHECKING

import click

from workflow_router.cli.client import Client, talks
from workflow_router.cli.terminal import Printer
from workflow_router.cli.top.facts import Facts, Gatherer
from workflow_router.core.errors import RouterError

if TYPE_CHECKING:
    from rich.console import Console

KEYS = "q quits"
STOP_S = 2.0  # for an answer under way, when one quits


@click.command("top", epilog="Examples: wr top; wr top --once | head -5; wr top --json | jq '.needs[].command'")
@click.option("--once", is_flag=True, help="Print it once and end; so it is without a terminal, too.")
@click.option("--every", "every_s", default=1.0, show_default=True, type=click.FloatRange(0.2, 3600), help="Seconds.")
@talks
def command(client: Client, printer: Printer, once: bool, every_s: float) -> None:
    """Show what goes on, on one screen: the last hour, what needs a person, targets, lag, budgets.

    It is drawn again each second, and when the window changes; q or Ctrl-C quits.
    """
    if printer.as_json:
        printer.data(Gatherer(client).gather())
        return
    facts = Gatherer(client).gather() if once or not _is_terminal() else None
    from rich.console import Console  # noqa: PLC0415  its import takes longer than most commands

    from workflow_router.cli.top.view import picture  # noqa: PLC0415  as above

    console = Console(highlight=False, soft_wrap=True)
    if facts is not None:
        for line in picture(facts, max(console.width, 80), None):
            console.print(line)
        return
    _Screen(console, Gatherer(client), every_s).show()


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class _Screen:
    """A terminal that shows what a thread finds out, until somebody quits.

    A pipe wakes whoever draws: when there is something new, and when the window changed.
    """

    def __init__(self, console: "Console", gatherer: Gatherer, every_s: float) -> None:
        self._console = console
        self._gatherer = gatherer
        self._every_s = every_s
        self._facts: Facts | None = None
        self._problem = ""
        self._ended = threading.Event()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def show(self) -> None:
        """Draw until q, Ctrl-C or the end of the input. Raises Refused, Unreachable at the first answer."""
        self._facts = self._gatherer.gather()  # so that a wrong key or address is told as any other command tells it
        asking = threading.Thread(target=self._ask, daemon=True)
        with _single_keys(), _resizes(self._wake), self._console.screen(hide_cursor=True):
            asking.start()
            try:
                self._draw_until_quit()
            finally:
                self._ended.set()
        asking.join(STOP_S)

    def _ask(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._facts, self._problem = self._gatherer.gather(), ""
            except RouterError as error:
                self._problem = f"{error.message} Trying again."
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, b"n")

    def _draw_until_quit(self) -> None:
        stdin = sys.stdin.fileno()
        while True:
            self._draw()
            ready, _, _ = select.select([stdin, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
            if stdin in ready and os.read(stdin, 64)[:1] in {b"q", b"Q", b"\x04", b""}:
                return

    def _draw(self) -> None:
        """Write over what is there, line by line, and clear only what is left: so nothing flickers."""
        from workflow_router.cli.top.view import picture  # noqa: PLC0415  it imports rich

        facts = self._facts
        if facts is None:
            return
        console = self._console
        width, height = os.get_terminal_size(sys.stdout.fileno())
        console.width = max(20, width)
        with console.capture() as drawn:
            for line in picture(facts, console.width, max(4, height), problem=self._problem, keys=KEYS):
                console.print(line, end="\n")
        lines = drawn.get().splitlines()
        # Synchronized update (mode 2026): a terminal that knows it shows the whole picture at once.
        text = "\x1b[?2026h\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J\x1b[?2026l"
        sys.stdout.write(text)
        sys.stdout.flush()


@contextlib.contextmanager
def _single_keys() -> Generator[None, None, None]:
    """Keys come at once, and are not shown; Ctrl-C stays what it is."""
    import termios  # noqa: PLC0415  not on every system
    import tty  # noqa: PLC0415  as above

    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    tty.setcbreak(stdin)
    try:
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Only a signal that has a handler wakes."""


@contextlib.contextmanager
def _resizes(wake: int) -> Generator[None, None, None]:
    """A change of the window's size wakes, too."""
    before = signal.signal(signal.SIGWINCH, _ignore)
    woken = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGWINCH, before)
