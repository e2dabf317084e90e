"""Checkpoints: the C2SP form, signatures, and what is refused."""

import base64

import pytest

from workflow_router.core.errors import InvalidInput
from workflow_router.core.proofs.checkpoint import Checkpoint, Signer, read_checkpoint, verify_checkpoint

SIGNER = Signer("example.com/log", bytes(range(32)))
CHECKPOINT = Checkpoint("example.com/log", 8, bytes(range(100, 132)))
NOTE = SIGNER.sign(CHECKPOINT)


def test_a_checkpoint_has_the_standard_form() -> None:
    root = base64.b64encode(CHECKPOINT.root).decode()
    body, _, signature = NOTE.partition("\n\n")
    assert body == f"example.com/log\n8\n{root}"
    assert signature.startswith("\N{EM DASH} example.com/log ")
    assert len(base64.b64decode(signature.split()[2])) == 4 + 64
    name, key_id, key = SIGNER.verifier.split("+", 2)
    assert (name, len(key_id), base64.b64decode(key)[0]) == ("example.com/log", 8, 1)
    assert base64.b64decode(signature.split()[2])[:4].hex() == key_id


def test_what_was_signed_is_read_back() -> None:
    assert verify_checkpoint(NOTE, SIGNER.verifier) == CHECKPOINT
    assert read_checkpoint(NOTE) == CHECKPOINT


def test_signatures_of_witnesses_may_stand_beside() -> None:
    witness = "\N{EM DASH} witness.example " + base64.b64encode(bytes(68)).decode() + "\n"
    first, blank, signatures = NOTE.partition("\n\n")
    assert verify_checkpoint(f"{first}{blank}{witness}{signatures}", SIGNER.verifier) == CHECKPOINT


@pytest.mark.parametrize(
    "note",
    [
        NOTE.replace("\n8\n", "\n9\n"),
        NOTE.replace("example.com/log\n", "example.com/other\n", 1),
        Signer("example.com/log", bytes(32)).sign(CHECKPOINT),
        Signer("example.com/other", bytes(range(32))).sign(CHECKPOINT),
    ],
    ids=["another size", "another log", "another key", "another name"],
)
def test_what_the_key_has_not_signed_is_refused(note: str) -> None:
    with pytest.raises(InvalidInput, match="not signed by example"):
        verify_checkpoint(note, SIGNER.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a\nb\nc\n\n",
        NOTE.replace("\n8\n", "\n08\n"),
        NOTE.replace("\n8\n", "\n-8\n"),
        NOTE[:-20] + "x" * 20_000,
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no checkpoint"):
        read_checkpoint(text)


def test_what_is_no_key_is_refused() -> None:
    for key in ("", "name", SIGNER.verifier[:-4], SIGNER.verifier.replace("example", "exampel")):
        with pytest.raises(InvalidInput, match="no checkpoint key"):
            verify_checkpoint(NOTE, key)
    with pytest.raises(InvalidInput, match="32 bytes"):
        Signer("log", b"short")
    with pytest.raises(InvalidInput, match="cannot name a key"):
        Signer("a log", bytes(32))
