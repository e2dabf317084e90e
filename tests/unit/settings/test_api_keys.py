"""API keys: declared by reference, kept as hashes, and demanded before the door opens to other machines."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from workflow_router.app import serve
from workflow_router.core.errors import Forbidden, InvalidProject
from workflow_router.settings import api_keys_of, load_project


def project(folder: Path, settings: str) -> Path:
    (folder / "router.yaml").write_text(f"name: keyed\nsettings: {settings}\n", encoding="utf-8")
    return folder


def test_keys_are_hashes_of_what_the_references_stand_for(tmp_path: Path) -> None:
    found = load_project(project(tmp_path, "{api_keys: {ci: {env: CI_KEY}}}"), environ={"CI_KEY": "s3cret"})
    digest = hashlib.sha256(b"s3cret").hexdigest()
    assert api_keys_of(found, environ={"CI_KEY": "s3cret"}) == {digest: "ci"}
    with pytest.raises(InvalidProject, match="CI_KEY"):
        api_keys_of(found, environ={})


def test_none_declared_means_this_machine_only(tmp_path: Path) -> None:
    folder = project(tmp_path, "{listen: 0.0.0.0:0}")
    assert api_keys_of(load_project(folder)) is None
    with pytest.raises(Forbidden, match="api_keys"):
        asyncio.run(serve(folder))
