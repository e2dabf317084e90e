"""What leaves in one system call, and that nothing which was written is kept back."""

import asyncio
from collections.abc import Callable

from workflow_router.api.gathered import AT_ONCE_BYTES, Gathered


class _Wire(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written to after it was closed"
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 7


def _played(work: Callable[[Gathered, _Wire], None]) -> list[bytes]:
    async def main() -> list[bytes]:
        wire = _Wire()
        work(Gathered(wire, asyncio.get_running_loop()), wire)
        await asyncio.sleep(0)
        return wire.calls

    return asyncio.run(main())


def test_what_is_written_in_one_turn_leaves_together() -> None:
    def work(gathered: Gathered, wire: _Wire) -> None:
        gathered.write(b"head")
        gathered.writelines([b" and", b" body"])
        assert wire.calls == []
        assert gathered.get_write_buffer_size() == 13 + 7

    assert _played(work) == [b"head and body"]


def test_turns_are_kept_apart() -> None:
    async def main() -> list[bytes]:
        wire = _Wire()
        gathered = Gathered(wire, asyncio.get_running_loop())
        for piece in (b"one", b"two"):
            gathered.write(piece)
            await asyncio.sleep(0)
        return wire.calls

    assert asyncio.run(main()) == [b"one", b"two"]


def test_much_is_not_gathered() -> None:
    def work(gathered: Gathered, wire: _Wire) -> None:
        gathered.write(b"x" * AT_ONCE_BYTES)
        assert len(wire.calls) == 1
        gathered.write(b"rest")

    assert _played(work) == [b"x" * AT_ONCE_BYTES, b"rest"]


def test_what_was_written_leaves_before_the_end() -> None:
    def work(gathered: Gathered, wire: _Wire) -> None:
        gathered.write(b"last words")
        gathered.close()
        assert wire.calls == [b"last words"]

    assert _played(work) == [b"last words"]


def test_what_was_dropped_is_not_written() -> None:
    def aborted(gathered: Gathered, _: _Wire) -> None:
        gathered.write(b"lost")
        gathered.abort()

    def lost(gathered: Gathered, wire: _Wire) -> None:
        gathered.write(b"lost")
        wire.close()  # as when the other side went away

    assert _played(aborted) == _played(lost) == []
