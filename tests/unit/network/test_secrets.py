"""Secrets are resolved anew each time, and nothing that goes wrong tells one."""

import asyncio
from pathlib import Path

import pytest

from workflow_router.core.dispatch_route.ports import TransportFailed
from workflow_router.network.secrets import LocalSecrets


def test_environment_and_file(tmp_path: Path) -> None:
    environment = {"KEY": "one"}
    secrets = LocalSecrets(environment)
    assert asyncio.run(secrets.resolve("env:KEY")) == "one"
    environment["KEY"] = "two"
    assert asyncio.run(secrets.resolve("env:KEY")) == "two"
    (tmp_path / "key").write_text("three\n")
    assert asyncio.run(secrets.resolve(f"file:{tmp_path}/key")) == "three"


@pytest.mark.parametrize("reference", ["env:MISSING", "env:", "file:/does/not/exist", "KEY", "env:SPLIT", "env:WIDE"])
def test_what_is_no_secret_is_refused_without_telling_it(reference: str) -> None:
    secrets = LocalSecrets({"SPLIT": "canary\r\nx-injected: 1", "WIDE": "canäry"})
    with pytest.raises(TransportFailed) as failed:
        asyncio.run(secrets.resolve(reference))
    assert failed.value.kind == "secret"
    assert not failed.value.sent
    assert "canary" not in str(failed.value)
    assert "canäry" not in str(failed.value)
