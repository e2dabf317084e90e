"""The reference pages are what the code says they are."""

import pytest

from docs.build import FOLDER, PAGES, pages


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"


def test_no_page_is_left_behind() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)
