"""Owns taking out of text what must not be told: known secrets in the forms they travel in, and control characters.

Pure. Refuses to guess beyond well-known shapes of credentials: what is to be found for sure is told by `know`.
"""

import base64
import re
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
KNOWN_MIN = 6  # what is shorter would be found in ordinary words
KNOWN_MAX = 200

_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|wr[ks]?|whsec|gh[opsu]|xox[abp]|AKIA)[-_][-_A-Za-z0-9]{12,512}"
    r"|(?<![A-Za-z0-9])AKIA[A-Z0-9]{12,512}"
    r"|(?<=[Bb]earer )\s{0,8}[A-Za-z0-9._~+/=-]{8,4096}"
    r"|(?<=[Bb]asic )\s{0,8}[A-Za-z0-9+/=]{8,4096}"
    r"|(?<=://)[^/\s:@]{1,256}:[^/\s@]{1,1024}(?=@)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def forms_of(secret: str) -> list[str]:
    """A secret as it may stand in a text: raw, URL-encoded, in hex, JSON-escaped, and base64 at any offset."""
    data = secret.encode()
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), data.hex(), data.hex().upper()}
    found.add(repr(secret)[1:-1])
    found.add(secret.replace("\\", "\\\\").replace('"', '\\"'))
    for before in range(3):  # in the middle of a longer text, base64 depends on what stands before it
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * before + data).decode().rstrip("=")
            start = -(-before * 8 // 6)  # the first character with bits of the secret alone
            sure = text[start : (before + len(data)) * 8 // 6]
            if len(sure) >= KNOWN_MIN:
                found.add(sure)
    return sorted((one for one in found if len(one) >= KNOWN_MIN), key=len, reverse=True)


class Scrubber:
    """Takes out the secrets it was told of, and what looks like one."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {}
        self._forms: list[str] = []

    def know(self, secret: str) -> None:
        """Take it out from now on; at most the latest `KNOWN_MAX`, and none that is too short to be told apart."""
        if secret in self._known or len(secret) < KNOWN_MIN:
            return
        self._known = {**self._known, secret: forms_of(secret)}
        if len(self._known) > KNOWN_MAX:
            self._known.pop(next(iter(self._known)))
        self._forms = sorted({form for forms in self._known.values() for form in forms}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text without secrets, its control characters written as `\\xNN`; line breaks and tabs stay."""
        for form in self._forms:  # each is one search in C, which an alternation of all of them is not
            if form in text:
                text = text.replace(form, HIDDEN)
        return _CONTROL.sub(_escaped, _SHAPES.sub(HIDDEN, text))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
