"""Owns checkpoints: what a log was at a moment, signed, so that whoever keeps one can tell later if it was rewritten.

The form is C2SP's tlog-checkpoint in a signed note with Ed25519 keys (https://c2sp.org/tlog-checkpoint and
/signed-note), which other tools and witnesses read. Refuses to keep keys or checkpoints.
"""

import base64
import binascii
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from workflow_router.core.errors import InvalidInput
from workflow_router.core.proofs.merkle import HASH_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TEXT_MAX = 16_384
_ED25519 = b"\x01"
_SIGNED = "\N{EM DASH} "
_KEY_BYTES = 32


class Checkpoint(msgspec.Struct, frozen=True):
    """The size and root of a log's tree; `origin` names the log."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class Signer:
    """Signs checkpoints.

    Args:
        name: of the key, as in its signatures: no spaces, no plus sign.
        seed: the private key's 32 bytes.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        if len(seed) != _KEY_BYTES:
            raise InvalidInput("The checkpoints' key is not 32 bytes.", remedy="Make one: openssl rand -base64 32.")
        self._seed = seed
        self.name = _checked_name(name)

    @cached_property
    def _key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  it loads in 50 ms, at first use

        return ed25519.Ed25519PrivateKey.from_private_bytes(self._seed)

    @property
    def _public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    @property
    def verifier(self) -> str:
        """The public key as others need it: `name+id+key`, C2SP's vkey."""
        key_id = _key_id(self.name, self._public).hex()
        return f"{self.name}+{key_id}+{base64.b64encode(_ED25519 + self._public).decode()}"

    def sign(self, checkpoint: Checkpoint) -> str:
        """The signed note."""
        signature = self._key.sign(checkpoint.body.encode())
        line = base64.b64encode(_key_id(self.name, self._public) + signature).decode()
        return f"{checkpoint.body}\n{_SIGNED}{self.name} {line}\n"


def read_checkpoint(text: str) -> Checkpoint:
    """What a checkpoint says, whoever signed it. Raises InvalidInput."""
    return _take_apart(text)[0]


def verify_checkpoint(text: str, verifier: str) -> Checkpoint:
    """What a checkpoint says, once its signature by the key has been checked.

    Args:
        verifier: the key, `name+id+key`.

    Raises:
        InvalidInput: it is no checkpoint, or that key has not signed it.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  as above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  as above

    name, public = _take_key(verifier)
    checkpoint, body, lines = _take_apart(text)
    for line in lines:
        signer, _, encoded = line.removeprefix(_SIGNED).partition(" ")
        signature = _decoded(encoded)
        if signer == name and signature[:4] == _key_id(name, public):
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], body.encode())
            except InvalidSignature:
                break
            return checkpoint
    raise InvalidInput(
        f"The checkpoint is not signed by {name}.",
        remedy="Compare the key with what `wr audit checkpoint --key` says, and the text.",
    )


def _take_apart(text: str) -> tuple[Checkpoint, str, list[str]]:
    refused = InvalidInput(
        "This is no checkpoint.", remedy="It has the log's name, size and root, a blank line, and signatures."
    )
    body, blank, signatures = text.partition("\n\n")
    lines, signed = body.split("\n"), signatures.splitlines()
    if len(text) > TEXT_MAX or not blank or len(lines) < 3 or not signed:
        raise refused
    origin, size, root = lines[0], lines[1], _decoded(lines[2])
    sized = size.isascii() and size.isdecimal() and (size == "0" or not size.startswith("0"))
    if not origin or not sized or len(root) != HASH_BYTES or not all(line.startswith(_SIGNED) for line in signed):
        raise refused
    return Checkpoint(origin, int(size), root), body + "\n", signed


def _take_key(verifier: str) -> tuple[str, bytes]:
    name, _, rest = verifier.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    key = _decoded(encoded)
    public = key[1:]
    if key[:1] != _ED25519 or len(public) != _KEY_BYTES or _key_id(name, public).hex() != key_id:
        raise InvalidInput(
            "This is no checkpoint key.", remedy="It reads name+id+key; `wr audit checkpoint --key` shows it."
        )
    return name, public


def _checked_name(name: str) -> str:
    if not name or "+" in name or any(character.isspace() for character in name):
        raise InvalidInput(f"{name!r} cannot name a key.", remedy="Leave out spaces and plus signs.")
    return name


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
