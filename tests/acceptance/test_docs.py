"""What the documentation shows is what happens: each page is done as it says, from its first line to its last."""

import shutil
from pathlib import Path

import pytest

from tests.fixtures.pages import ROOT, blocks, read_page
from workflow_router.core.errors import InvalidProject

HOWTOS = sorted((ROOT / "docs/howto").glob("*"))
PAGES = [ROOT / "README.md", ROOT / "docs/index.md", ROOT / "docs/tutorial.md", *HOWTOS]

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="The pages use curl, which is missing.")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_true(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    needs_postgres = "DATABASE_URL" in page.read_text(encoding="utf-8")
    environ = {"DATABASE_URL": request.getfixturevalue("postgres_dsn")} if needs_postgres else {}
    read_page(page, tmp_path, environ)


def test_every_howto_is_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert [page.name for page in HOWTOS if f"(howto/{page.name})" not in index] == []


@pytest.mark.parametrize(
    "untrue",
    [
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ echo one\none\ntwo\n```\n",
        "```python\nassert 1 == 2\n```\n",
        "```yaml\nmappings: [{name: a, on: {type: [x]}}]\n```\n",
        "```console\n$ make sandwich\n```\n",
        "```ruby\nputs 1\n```\n",
    ],
    ids=["other", "fails", "less", "python", "yaml", "make", "language"],
)
def test_a_page_that_is_not_true_is_found(untrue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fixtures.pages.ANSWER_S", 0.2)
    page = tmp_path / "page.md"
    page.write_text(untrue, encoding="utf-8")
    assert blocks(untrue)
    with pytest.raises((AssertionError, InvalidProject)):
        read_page(page, tmp_path, {})
