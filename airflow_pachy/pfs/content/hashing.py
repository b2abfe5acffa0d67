"""Content hashes: a function of a file's bytes alone, however it was written or stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blake3 import blake3

from airflow_pachy.pfs.tree.entries import Content, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

HASH_BYTES = 32
_CHUNKS = b"pfs1-chunks"


def hash_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """BLAKE3 of `data`, 32 bytes: the hash of a chunk, and of a file of one chunk."""
    return blake3(data).digest()


EMPTY = Content(hash_bytes(b""), 0, (), b"")


def hash_chunks(chunks: Sequence[Segment]) -> bytes:
    """The hash of a file of several chunks, whose segments carry their own hashes."""
    hasher = blake3(_CHUNKS)
    for chunk in chunks:
        if chunk.hash is None:
            raise ValueError(f"segment {chunk} of a file of {len(chunks)} chunks has no hash")
        hasher.update(chunk.length.to_bytes(8, "big") + chunk.hash)
    return hasher.digest()
