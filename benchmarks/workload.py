"""The files: random, so that no compression flatters anyone, and seeded, so that every run has the same ones."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Workload:
    """`files` files of `size_bytes` each, a hundred to a directory; `changed` of them get new content in a version."""

    files: int
    size_bytes: int
    changed: int
    seed: int = 7

    @property
    def total_bytes(self) -> int:
        """What all files hold together."""
        return self.files * self.size_bytes

    @property
    def title(self) -> str:
        """In words."""
        size = f"{self.size_bytes >> 20} MiB" if self.size_bytes >= MIB else f"{self.size_bytes >> 10} KiB"
        return f"{self.files:,} files of {size}"

    def path(self, number: int) -> str:
        """Path of file `number`, relative to the directory of all."""
        return f"{number // 100:04d}/{number:07d}.bin"

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Version 1: every path with its content."""
        rng = random.Random(self.seed)
        for number in range(self.files):
            yield self.path(number), rng.randbytes(self.size_bytes)

    def changes(self, version: int = 2) -> Iterator[tuple[str, bytes]]:
        """What differs in a later version: evenly spread paths with their new content."""
        rng = random.Random(self.seed + version)
        for number in range(0, self.files, max(self.files // self.changed, 1)):
            yield self.path(number), rng.randbytes(self.size_bytes)

    def write(self, directory: Path) -> None:
        """Make version 1 on disk."""
        _write(self.contents(), directory)

    def write_changes(self, version: int, directory: Path) -> None:
        """Write the changed files, as new files (never through a link into somebody's cache)."""
        for path, _ in self.changes(version):
            (directory / path).unlink(missing_ok=True)
        _write(self.changes(version), directory)


@dataclass(frozen=True, slots=True)
class LargeFile:
    """One file, and the same with a MiB in its middle overwritten."""

    size_bytes: int
    seed: int = 7

    @property
    def path(self) -> str:
        """Its name."""
        return "large.bin"

    def write(self, directory: Path) -> None:
        """Make version 1 on disk."""
        rng = random.Random(self.seed)
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / self.path).open("wb") as file:
            for start in range(0, self.size_bytes, MIB):
                file.write(rng.randbytes(min(MIB, self.size_bytes - start)))

    def edit(self, directory: Path) -> None:
        """Overwrite a MiB."""
        with (directory / self.path).open("r+b") as file:
            file.seek(self.size_bytes // 2 + 12_345)
            file.write(random.Random(self.seed + 1).randbytes(MIB))


def _write(contents: Iterator[tuple[str, bytes]], directory: Path) -> None:
    for path, content in contents:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def check(directory: Path, expected: Workload | LargeFile) -> None:
    """Refuse a result that is quick because it is incomplete: every file must be there with its size."""
    sizes = [path.stat().st_size for path in directory.rglob("*.bin")]
    files, size_bytes = (
        (expected.files, expected.total_bytes) if isinstance(expected, Workload) else (1, expected.size_bytes)
    )
    if len(sizes) != files or sum(sizes) != size_bytes:
        msg = f"{directory} holds {len(sizes)} files, {sum(sizes)} B, not {files}, {size_bytes} B"
        raise AssertionError(msg)
