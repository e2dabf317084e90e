"""The Merkle tree against RFC 9162's definition, written naively, and against a tree that others test with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_router.core.proofs.merkle import (
    EMPTY_ROOT,
    Frontier,
    Node,
    leaf_hash,
    node_hash,
    plan_consistency,
    plan_inclusion,
    plan_root,
    put_together,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(bytes([number])) for number in range(80)]
SIZES = st.integers(1, len(LEAVES))

# The leaves and root that Certificate Transparency's implementations test with.
KNOWN = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
KNOWN_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def naive(leaves: list[bytes]) -> bytes:
    """The hash of a tree as RFC 9162 2.1.1 defines it."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(naive(leaves[:split]), naive(leaves[split:]))


def stored(node: Node) -> bytes:
    return naive(LEAVES[node.index << node.level : (node.index + 1) << node.level])


def test_the_known_tree_has_the_known_root() -> None:
    tree = Frontier()
    for text in KNOWN:
        tree.append(leaf_hash(bytes.fromhex(text)))
    assert tree.root().hex() == KNOWN_ROOT


def test_a_frontier_grows_as_the_tree_does() -> None:
    tree = Frontier()
    assert tree.root() == EMPTY_ROOT
    for size, leaf in enumerate(LEAVES, start=1):
        tree.append(leaf)
        assert tree.root() == naive(LEAVES[:size])
        tree = Frontier.from_bytes(size, tree.to_bytes())
    for size in range(1, len(LEAVES) + 1):
        assert put_together([plan_root(size)], stored) == [naive(LEAVES[:size])]


def test_a_frontier_takes_whole_subtrees() -> None:
    tree = Frontier()
    for number in range(5):
        tree.append(stored(Node(3, number)), level=3)
    tree.append(LEAVES[40])
    assert (tree.size, tree.root()) == (41, naive(LEAVES[:41]))


@given(data=st.data())
def test_a_frontier_tells_which_subtrees_several_leaves_complete(data: st.DataObject) -> None:
    levels, size = data.draw(st.integers(0, 4)), data.draw(st.integers(0, len(LEAVES)))
    tree, complete = Frontier(), list[bytes]()
    while tree.size < size:
        upto = data.draw(st.integers(tree.size + 1, size))
        complete += tree.extend(LEAVES[tree.size : upto], levels)
        assert tree.root() == naive(LEAVES[:upto])
    assert complete == [stored(Node(levels, number)) for number in range(size >> levels)]


@pytest.mark.parametrize(("size", "length"), [(3, 1), (4, 0), (4, 33), (0, 32)])
def test_a_frontier_that_cannot_be_is_refused(size: int, length: int) -> None:
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier.from_bytes(size, bytes(length))


@given(size=SIZES, data=st.data())
def test_inclusion_is_proved_and_nothing_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = put_together(plan_inclusion(index, size), stored)
    root = naive(LEAVES[:size])
    assert verify_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(st.integers(0, size).filter(lambda number: number != index))
    assert not verify_inclusion(LEAVES[index], other, size, proof, root)
    assert not verify_inclusion(leaf_hash(b"another"), index, size, proof, root)
    assert not verify_inclusion(LEAVES[index], index, size, [*proof, bytes(32)], root)
    assert not verify_inclusion(LEAVES[index], index, size, proof, bytes(32))


@given(sizes=st.tuples(SIZES, SIZES).map(sorted), data=st.data())
def test_consistency_is_proved_and_nothing_else(sizes: list[int], data: st.DataObject) -> None:
    first, second = sizes
    proof = put_together(plan_consistency(first, second), stored)
    roots = naive(LEAVES[:first]), naive(LEAVES[:second])
    assert verify_consistency(first, second, proof, *roots)
    assert not verify_consistency(first, second, proof, bytes(32), roots[1])
    assert not verify_consistency(first, second, [*proof, bytes(32)], *roots)
    if proof:
        broken = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_consistency(
            first, second, [bytes(32) if at == broken else part for at, part in enumerate(proof)], *roots
        )
        assert not verify_consistency(first, second, proof[:-1], *roots)


def test_proofs_of_what_cannot_be_are_refused() -> None:
    for index, size in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(ValueError, match="has no leaf"):
            plan_inclusion(index, size)
    for first, second in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="no prefix"):
            plan_consistency(first, second)
