"""Building the output tree when several datums may write one path: append or overwrite.

The *parts* tree keeps what every datum wrote to every path, under `path NUL order NUL datum id`, so that a path is
made anew out of its own parts when one of them changes, and nothing else is read. `order` is made of the
datum's input paths, the last input first, as a cross lists them: parts follow their inputs, not the
chance of their hashes, and with overwrite the datum whose input sorts last wins.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Literal

from airflow_pachy.errors import PathConflict
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.tree import sorted_changes
from airflow_pachy.pfs.tree.entries import Content, Entry, Put, Remove
from airflow_pachy.pipelines.results import read_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Change
    from airflow_pachy.pipelines.comparison import DatumChanges
    from airflow_pachy.pipelines.rows import DatumRow

Rule = Literal["append", "overwrite"]

# Not a legal path, so no part has this key: its row says by which rule the tree was made.
_RULE_KEY = "\0on_collision"


@dataclass(frozen=True, slots=True)
class Combined:
    """The output tree, and the parts tree it was made of."""

    tree: Tree
    parts: Tree


def rule_of(parts: Tree) -> str:
    """By which rule a parts tree was made."""
    entry = parts.get(_RULE_KEY)
    return (entry.content.inline or b"").decode() if entry is not None else ""


def part_key(path: str, row: DatumRow) -> str:
    """Where the part lies that `row` wrote to `path`."""
    # Slashes of the inputs' paths would make one key a directory of another.
    order = "\0".join(item.path.replace("/", "\1") for item in reversed(row.inputs))
    return f"{path}\0{order}\0{row.id}"


def combine(pfs: Pfs, base: Combined, changes: DatumChanges, rule: Rule) -> Combined:
    """Apply changed datums to the parts and make the paths they touch anew. Raises `PathConflict`, `Corrupt`."""
    news: list[Change] = [Put(_rule_entry(rule))]
    touched: set[str] = set()
    for row, outputs in read_outputs(pfs.store, changes.vanished):
        news += [Remove(part_key(entry.path, row)) for entry in outputs]
        touched.update(entry.path for entry in outputs)
    for row, outputs in read_outputs(pfs.store, changes.arrived):
        news += [Put(replace(entry, path=part_key(entry.path, row), datum=row.id)) for entry in outputs]
        touched.update(entry.path for entry in outputs)
    parts = base.parts.apply(sorted_changes(news))
    with pfs.new_content_writer() as writer:
        remade = [_remake(path, list(parts.entries(f"{path}\0")), rule, writer, pfs.content_reader) for path in touched]
    try:
        tree = base.tree.apply(sorted_changes(remade))
    except PathConflict as error:
        raise PathConflict(
            f"the outputs of two datums do not fit into one tree: {error}. One datum writes a file where another "
            "writes a directory; let the code choose other names under /pfs/out"
        ) from error
    return Combined(tree, parts)


def _rule_entry(rule: Rule) -> Entry:
    body = rule.encode()
    return Entry(_RULE_KEY, Content(hash_bytes(body), len(body), inline=body))


def _remake(path: str, parts: list[Entry], rule: Rule, writer: ContentWriter, reader: ContentReader) -> Change:
    if not parts:
        return Remove(path)
    last = parts[-1]
    if len(parts) == 1 or rule == "overwrite":
        return Put(replace(last, path=path))
    rest = Concatenation(iter([part.content for part in parts[1:]]), reader)
    content = writer.append(parts[0].content, io.BufferedReader(rest, buffer_size=1 << 20), reader)
    newest = max(part.mtime_us for part in parts)
    return Put(Entry(path, content, any(part.executable for part in parts), None, newest))


class Concatenation(io.RawIOBase):
    """Contents one after the other as one stream; one of them is open at a time."""

    def __init__(self, contents: Iterator[Content], reader: ContentReader) -> None:
        self._contents = contents
        self._reader = reader
        self._current: BinaryIO | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        """Fill the buffer from the current content, or the next one when that has ended."""
        while True:
            if self._current is None:
                following = next(self._contents, None)
                if following is None:
                    return 0
                self._current = self._reader.open(following)
            data = self._current.read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._current.close()
            self._current = None
