"""Proofs that a log only ever grew: an RFC 9162 Merkle tree, and signed checkpoints of it."""
