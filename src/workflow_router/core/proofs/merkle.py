"""Owns the Merkle tree of RFC 9162 (2.1, the same as RFC 6962's): roots, inclusion and consistency proofs. Pure.

Refuses to store anything. A tree is known by its frontier, the roots of the complete subtrees it consists of; proofs
are planned as nodes, complete subtrees that whoever stores the leaves can look up, and put together from their hashes.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf, kept apart from that of a node by its first byte."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of a node over its two children's."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree of `size` leaves, as the roots of its complete subtrees, largest first."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in self._peaks):
            raise ValueError(f"A tree of {size} leaves has {size.bit_count()} complete subtrees.")

    @classmethod
    def from_bytes(cls, size: int, stored: bytes) -> "Frontier":
        """What `to_bytes` gave for a tree of this size. Raises ValueError where it cannot be."""
        return cls(size, [stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)])

    def to_bytes(self) -> bytes:
        """The subtrees' roots, one after the other."""
        return b"".join(self._peaks)

    def append(self, root: bytes, level: int = 0) -> None:
        """Add a leaf by its hash, or a complete subtree of `2 ** level` leaves by its root where one fits."""
        peaks, size = self._peaks, self.size >> level
        while size & 1:
            root = node_hash(peaks.pop(), root)
            size >>= 1
        peaks.append(root)
        self.size += 1 << level

    def extend(self, leaves: Iterable[bytes], levels: int) -> list[bytes]:
        """Add leaves by their hashes; the roots of the subtrees of `2 ** levels` leaves that are complete now."""
        digest = hashlib.sha256  # as `node_hash`, whose call would take as long as the hash
        row, complete, left = list(leaves), list[bytes](), list[bytes]()
        size, level = self.size, 0
        self.size += len(row)
        while row:  # what is new of each level, from the leaves upwards
            if level == levels:
                complete = row.copy()
            if size >> level & 1:
                row.insert(0, self._peaks.pop())
            if len(row) & 1:
                left.append(row.pop())
            row = [digest(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
            level += 1
        self._peaks += reversed(left)
        return complete

    def root(self) -> bytes:
        """The root of the whole tree."""
        return fold(self._peaks) if self._peaks else EMPTY_ROOT


def rows_above(hashes: Sequence[bytes], levels: int) -> list[bytes]:
    """The nodes so many levels above these, whose number is a multiple of `2 ** levels`."""
    above, digest = list(hashes), hashlib.sha256  # as `node_hash`, whose call would take as long as the hash
    for _ in range(levels):
        above = [digest(b"\x01" + above[at] + above[at + 1]).digest() for at in range(0, len(above), 2)]
    return above


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over adjoining complete subtrees, largest first."""
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


class Node(msgspec.Struct, frozen=True):
    """A complete subtree: the `index`-th of those with `2 ** level` leaves."""

    level: int
    index: int


# One hash of a proof: the root over these adjoining subtrees.
Part = list[Node]


def plan_root(size: int) -> Part:
    """The complete subtrees that the tree of `size` leaves consists of; its root is theirs folded."""
    return _cover(0, size)


def plan_inclusion(index: int, size: int) -> list[Part]:
    """The proof that leaf `index` (from 0) is in the tree of `size` leaves, RFC 9162 2.1.3.1."""
    if not 0 <= index < size:
        raise ValueError(f"A tree of {size} leaves has no leaf {index}.")
    start, parts = 0, list[Part]()
    while size > 1:
        split = _split(size)
        if index < split:
            parts.append(_cover(start + split, size - split))
            size = split
        else:
            parts.append(_cover(start, split))
            start, index, size = start + split, index - split, size - split
    return parts[::-1]


def plan_consistency(first: int, second: int) -> list[Part]:
    """The proof that the tree of `first` leaves is a prefix of that of `second`, RFC 9162 2.1.4.1."""
    if not 0 < first <= second:
        raise ValueError(f"A tree of {first} leaves is no prefix of one of {second}.")
    start, whole, parts = 0, True, list[Part]()
    while first != second:
        split = _split(second)
        if first <= split:
            parts.append(_cover(start + split, second - split))
            second = split
        else:
            parts.append(_cover(start, split))
            start, first, second, whole = start + split, first - split, second - split, False
    return ([] if whole else [_cover(start, second)]) + parts[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that the leaf with this hash is number `index` of the tree, RFC 9162 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(part, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, part)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether the proof shows that the first tree is a prefix of the second, RFC 9162 2.1.4.2."""
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(part, old), node_hash(part, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, part)
        at, last = at >> 1, last >> 1
    return last == 0 and (old, new) == (first_root, second_root)


def put_together(parts: Iterable[Part], hash_of: Callable[[Node], bytes]) -> list[bytes]:
    """The proof's hashes, from those of its nodes."""
    return [fold([hash_of(node) for node in part]) for part in parts]


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves the left subtree has."""
    return 1 << (size - 1).bit_length() - 1


def _cover(start: int, size: int) -> Part:
    """The complete subtrees, largest first, that a subtree's `size` leaves from `start` consist of."""
    nodes: Part = []
    while size:
        level = size.bit_length() - 1
        nodes.append(Node(level, start >> level))
        start, size = start + (1 << level), size - (1 << level)
    return nodes
