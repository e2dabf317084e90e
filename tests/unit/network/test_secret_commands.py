"""Secrets that a command tells: real programs, no shell, bounded in time and output, asked once for many callers."""

import asyncio
import contextlib
import os
import select
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from workflow_router.core.dispatch_route.ports import TransportFailed
from workflow_router.network.secret_commands import OUTPUT_MAX_BYTES, Command
from workflow_router.network.secrets import LocalSecrets

CANARY = "sk-canary-91e4"


class Clock:
    def __init__(self) -> None:
        self.at_s = 1_000.0

    def __call__(self) -> float:
        return self.at_s


def python(text: str, **more: float) -> Command:
    return Command(
        argv=(sys.executable, "-c", text), timeout_s=more.get("timeout_s", 20.0), ttl_s=more.get("ttl_s", 60.0)
    )


def counting(folder: Path, then: str = f"print('{CANARY}-' + str(n))") -> str:
    """A program that notes each of its runs."""
    path = str(folder / "runs")
    return f"f = open({path!r}, 'a'); f.write('x'); f.close(); n = len(open({path!r}).read()); {then}"


def with_secrets(use: Callable[[LocalSecrets, Clock], Awaitable[None]], **commands: Command) -> None:
    clock = Clock()
    secrets = LocalSecrets({}, commands, now_s=clock)

    async def main() -> None:
        await use(secrets, clock)

    asyncio.run(main())


def test_a_command_is_asked_once_for_all_and_again_after_a_while(tmp_path: Path) -> None:
    async def use(secrets: LocalSecrets, clock: Clock) -> None:
        found = await asyncio.gather(*(secrets.resolve("command:vault") for _ in range(20)))
        assert set(found) == {f"{CANARY}-1"}
        clock.at_s += 59
        assert await secrets.resolve("command:vault") == f"{CANARY}-1"
        clock.at_s += 2
        assert await secrets.resolve("command:vault") == f"{CANARY}-2"

    with_secrets(use, vault=python(counting(tmp_path)))


def test_a_secret_that_a_target_refuses_is_asked_for_again_but_not_in_a_storm(tmp_path: Path) -> None:
    async def use(secrets: LocalSecrets, clock: Clock) -> None:
        assert await secrets.resolve("command:vault") == f"{CANARY}-1"
        secrets.doubt("command:vault")  # it was asked for just now
        assert await secrets.resolve("command:vault") == f"{CANARY}-1"
        clock.at_s += 6
        secrets.doubt("command:vault")
        secrets.doubt("command:vault")
        secrets.doubt("env:OTHER")
        assert await secrets.resolve("command:vault") == f"{CANARY}-2"

    with_secrets(use, vault=python(counting(tmp_path)))


FAULTS = {
    "no such program": Command(argv=("/does/not/exist", CANARY)),
    "no program": Command(argv=(str(Path(__file__)),)),
    "ends with a code": python(f"import sys; print('{CANARY}'); sys.exit(3)"),
    "writes to its errors": python(f"import sys; sys.exit('{CANARY}')"),
    "says nothing": python("pass"),
    "says two lines": python(f"print('{CANARY}'); print('x-injected: 1')"),
    "says too much": python(f"print('{CANARY}' * {OUTPUT_MAX_BYTES})"),
    "never ends": python(f"import time; print('{CANARY}', flush=True); time.sleep(1000)", timeout_s=0.5),
    "ignores the signal": python(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)", timeout_s=0.5
    ),
}


@pytest.mark.parametrize("command", FAULTS.values(), ids=FAULTS.keys())
def test_what_goes_wrong_tells_no_secret(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    async def use(secrets: LocalSecrets, _: Clock) -> None:
        with pytest.raises(TransportFailed) as failed:
            await secrets.resolve("command:vault")
        error: BaseException | None = failed.value
        assert (failed.value.kind, failed.value.sent) == ("secret", False)
        while error is not None:
            assert CANARY not in repr(error) + str(error)
            error = error.__cause__ or error.__context__

    with_secrets(use, vault=command)
    assert CANARY not in caplog.text


def test_a_program_that_is_given_up_leaves_no_child_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = (
        "import os, subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)']); "
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(1000)"
    )

    async def use(secrets: LocalSecrets, _: Clock) -> None:
        with pytest.raises(TransportFailed, match="took more than 3 s"):
            await secrets.resolve("command:vault")

    with_secrets(use, vault=python(text, timeout_s=3.0))
    for pid in pids.read_text().split():
        with contextlib.suppress(ProcessLookupError):  # it is gone
            process = os.pidfd_open(int(pid))
            ended, *_ = select.select([process], [], [], 10)  # one that was killed still has to die
            os.close(process)
            assert ended


def test_failures_start_no_storm_of_programs(tmp_path: Path) -> None:
    async def use(secrets: LocalSecrets, clock: Clock) -> None:
        for _ in range(10):
            with pytest.raises(TransportFailed):
                await secrets.resolve("command:vault")
        assert (tmp_path / "runs").read_text() == "x"
        clock.at_s += 1.1
        with pytest.raises(TransportFailed):
            await secrets.resolve("command:vault")
        assert (tmp_path / "runs").read_text() == "xx"

    with_secrets(use, vault=python(counting(tmp_path, "1 / 0")))


def test_no_shell_reads_the_arguments_and_no_other_command_can_be_named(tmp_path: Path) -> None:
    async def use(secrets: LocalSecrets, _: Clock) -> None:
        assert await secrets.resolve("command:echo") == "$HOME;$(id)>x"
        for name in ("other", "", "echo x", "/bin/echo"):
            with pytest.raises(TransportFailed, match="not declared"):
                await secrets.resolve(f"command:{name}")

    with_secrets(use, echo=Command(argv=("/bin/echo", "$HOME;$(id)>x"), folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_caller_who_leaves_takes_the_run_from_nobody(tmp_path: Path) -> None:
    async def use(secrets: LocalSecrets, _: Clock) -> None:
        first = asyncio.create_task(secrets.resolve("command:vault"))
        second = asyncio.create_task(secrets.resolve("command:vault"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == f"{CANARY}-1"
        assert first.cancelled()

    with_secrets(use, vault=python(counting(tmp_path)))
