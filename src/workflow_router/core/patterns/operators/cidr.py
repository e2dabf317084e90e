"""Owns address blocks: IPv4 and IPv6, host bits allowed. Refuses to mix the two: `0.0.0.0/0` finds no IPv6 address."""

from ipaddress import AddressValueError, IPv6Address

from workflow_router.core.patterns.operators.operator import Operator


def cidr(block: str) -> Operator:
    """A string that is an address inside the block. Raises ValueError with the reason."""
    base, slash, mask = block.partition("/")
    if not slash or not mask or "/" in mask:
        raise ValueError("Malformed CIDR, one '/' required")
    if not (mask.isascii() and mask.isdigit() and len(mask) <= 3):
        raise ValueError("Malformed CIDR, mask bits must be an integer")
    found = address(base)
    if found is None:
        raise ValueError(f"Nonstandard IP address: {base}")
    width, bits = found
    if int(mask) >= width:
        raise ValueError(
            f"IPv{4 if width == 32 else 6} mask bits must be < {width} (write a single address as a string)"
        )
    shift = width - int(mask)
    wanted = width, bits >> shift

    def passes(value: object) -> bool:
        if not isinstance(value, str):
            return False
        found = address(value)
        return found is not None and (found[0], found[1] >> shift) == wanted

    return Operator(passes)


def address(text: str) -> tuple[int, int] | None:
    """The width in bits and the bits of an address, None where the text is none. IPv6 has hexadecimal groups only."""
    if len(text) > 39:
        return None
    if ":" in text:
        if "." in text or "%" in text:
            return None
        try:
            return 128, int(IPv6Address(text))
        except AddressValueError:
            return None
    parts = text.split(".")
    if len(parts) != 4 or len(text) > 15 or not text.isascii():
        return None
    bits = 0
    for part in parts:
        if not part.isdigit() or int(part) > 255:
            return None
        bits = bits << 8 | int(part)
    return 32, bits
