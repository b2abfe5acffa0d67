"""The files: random, so that no compression flatters anyone, and seeded, so that every run has the same ones."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workload:
    """`files` files of `size_bytes` each, a hundred to a directory; `changed` of them get new content in version 2."""

    files: int
    size_bytes: int
    changed: int
    seed: int = 7

    @property
    def total_bytes(self) -> int:
        """What all files hold together."""
        return self.files * self.size_bytes

    def path(self, number: int) -> str:
        """Path of file `number`, relative to the directory of all."""
        return f"{number // 100:04d}/{number:07d}.bin"

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Version 1: every path with its content."""
        rng = random.Random(self.seed)
        for number in range(self.files):
            yield self.path(number), rng.randbytes(self.size_bytes)

    def changes(self) -> Iterator[tuple[str, bytes]]:
        """What differs in version 2: evenly spread paths with their new content."""
        rng = random.Random(self.seed + 1)
        for number in range(0, self.files, max(self.files // self.changed, 1)):
            yield self.path(number), rng.randbytes(self.size_bytes)

    def write(self, directory: Path) -> None:
        """Make version 1 on disk."""
        _write(self.contents(), directory)

    def write_changes(self, *directories: Path) -> None:
        """Write the changed files into each directory, as new files (never through a link into somebody's cache)."""
        changes = list(self.changes())
        for directory in directories:
            for path, _ in changes:
                (directory / path).unlink(missing_ok=True)
            _write(iter(changes), directory)


def _write(contents: Iterator[tuple[str, bytes]], directory: Path) -> None:
    for path, content in contents:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def check(directory: Path, expected: Workload) -> None:
    """Refuse a result that is quick because it is incomplete: every file must be there with its size."""
    sizes = [path.stat().st_size for path in directory.rglob("*.bin")]
    if len(sizes) != expected.files or sum(sizes) != expected.total_bytes:
        msg = f"{directory} holds {len(sizes)} files, {sum(sizes)} B, not {expected.files}, {expected.total_bytes} B"
        raise AssertionError(msg)
