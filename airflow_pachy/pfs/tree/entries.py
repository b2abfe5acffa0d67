"""The rows of a tree: one `Entry` per file, and the `Change`s that make one tree out of another.

A path in a tree has no leading slash (`2024/a.png`); the facade shows it with one (`/2024/a.png`).
Directories are implied by the files below them, so there are no empty ones. The same rows serve
for datum indexes, whose keys are datum ids instead of paths: a tree is a sorted, immutable,
history-independent map, whatever its keys mean.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of a file's bytes inside an object.

    `hash` is set when the file has several segments (it is then the chunk's own content hash);
    a file of one segment has the file's hash there implicitly and None here.
    """

    object: str
    offset: int
    length: int
    hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """Where a file's bytes are and what they are: a 32-byte content hash, a size, and either `inline` or `segments`.

    An empty file has neither segments nor inline bytes (`inline == b""`).
    """

    hash: bytes
    size_bytes: int
    segments: tuple[Segment, ...] = ()
    inline: bytes | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a commit.

    `executable` is the only mode bit kept. `datum` is the id of the datum that produced the file, or
    None for files put by users. `mtime_us` is microseconds since the epoch; like `datum` and where
    the bytes lie, it is not part of the entry's identity (path, hash, size, executable).
    """

    path: str
    content: Content
    executable: bool = False
    datum: str | None = None
    mtime_us: int = 0


@dataclass(frozen=True, slots=True)
class Put:
    """Set `entry.path` to `entry`."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the file at `path` if there is one, and, with `subtree`, everything below `path + '/'`.

    `path == ""` with `subtree` removes everything.
    """

    path: str
    subtree: bool = False


Change = Put | Remove
