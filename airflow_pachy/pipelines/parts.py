"""Building the output tree when several datums may write one path: append or overwrite.

The *parts* tree keeps what every datum wrote to every path, under `path NUL order NUL datum id`, so that a path is
made anew out of its own parts when one of them changes, and nothing else is read. `order` is made of the
datum's input paths, the last input first, as a cross lists them: parts follow their inputs, not the
chance of their hashes, and with overwrite the datum whose input sorts last wins.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.errors import PathConflict
from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.entries import Content, Entry
from airflow_pachy.pfs.tree.rows import entries_of, leaf_table
from airflow_pachy.pfs.tree.schema import LEAF, single
from airflow_pachy.pipelines.outputs import BATCH_FILES, sorted_keys, unfit_outputs
from airflow_pachy.pipelines.results import read_outputs
from airflow_pachy.pipelines.rows_table import inline_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.content import ContentReader, ContentWriter
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.comparison import DatumChanges
    from airflow_pachy.pipelines.results import Outputs

Rule = Literal["append", "overwrite"]

# Not a legal path, so no part has this key: its row says by which rule the tree was made.
_RULE_KEY = "\0on_collision"
_NOTHING = pa.array([], pa.string())
# Reading the parts of one path costs about as much as scanning so many parts.
_SCAN_FACTOR = 20
_BATCH = 8_192


@dataclass(frozen=True, slots=True)
class Combined:
    """The output tree, and the parts tree it was made of."""

    tree: Tree
    parts: Tree


def rule_of(parts: Tree) -> str:
    """By which rule a parts tree was made."""
    entry = parts.get(_RULE_KEY)
    return (entry.content.inline or b"").decode() if entry is not None else ""


def combine(pfs: Pfs, base: Combined, changes: DatumChanges, rule: Rule, *, batch_files: int = BATCH_FILES) -> Combined:
    """Apply changed datums to the parts and make the paths they touch anew. Raises `PathConflict`, `Corrupt`."""
    parts = base.parts.merge(_NOTHING, inline_table([_RULE_KEY], [rule.encode()]), keys_are_paths=False)
    touched = _NOTHING
    for rows, is_removed in ((changes.vanished, True), (changes.arrived, False)):
        for files in _batches((_as_parts(outputs) for outputs in read_outputs(pfs.store, rows)), batch_files):
            touched = sorted_keys([touched, paths_of(files["path"])])
            if is_removed:
                parts = parts.merge(sorted_keys([single(files["path"])]), LEAF.empty_table(), keys_are_paths=False)
            else:
                parts = parts.merge(_NOTHING, files.sort_by("path"), keys_are_paths=False)
    try:
        with pfs.new_content_writer() as writer:
            maker = _Maker(rule, writer, pfs.content_reader)
            remade = _batches(map(maker.remake, _whole_paths(_parts_of(parts, touched))), batch_files)
            tree, removed = base.tree, touched
            for files in remade:
                tree = tree.merge(removed, files)
                removed = _NOTHING
            tree = tree.merge(removed, LEAF.empty_table())
    except PathConflict as error:
        raise unfit_outputs(error) from error
    return Combined(tree, parts)


def _as_parts(outputs: Outputs) -> pa.Table:
    """Output files under the keys of their parts."""
    ids: Any = outputs.datums["datum"].to_pylist()
    inputs: Any = outputs.datums["inputs"].to_pylist()
    suffixes = list(map(_suffix, ids, inputs))
    paths: Any = outputs.files["path"].to_pylist()
    keys = [path + suffixes[owner] for path, owner in zip(paths, outputs.owner.tolist(), strict=True)]
    return outputs.files.set_column(0, "path", pa.array(keys, pa.string()))


def _suffix(datum: str, inputs: bytes) -> str:
    # Slashes of the inputs' paths would make one key a directory of another.
    paths = inputs.decode("utf-8", "surrogateescape").split("\0")[1::3]
    return "\0".join(["", *(path.replace("/", "\1") for path in reversed(paths)), datum])


def _batches(tables: Iterable[pa.Table], batch_files: int) -> Iterator[pa.Table]:
    """The tables, joined until they have so many rows."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count >= batch_files:
            yield concat_rows(waiting)
            waiting, count = [], 0
    if count:
        yield concat_rows(waiting)


def paths_of(keys: Any) -> Any:
    """The paths that keys of parts belong to."""
    return pa.array([key.partition("\0")[0] for key in keys.to_pylist()], pa.string())


def _parts_of(parts: Tree, touched: Any) -> Iterator[pa.Table]:
    """All parts of these paths, in order."""
    if len(touched) * _SCAN_FACTOR < len(parts):
        for path in touched.to_pylist():
            yield leaf_table(list(parts.entries(f"{path}\0")))
        return
    for table in parts.tables():
        for start in range(0, table.num_rows, _BATCH):
            some = table[start : start + _BATCH]
            yield some.filter(pc.is_in(paths_of(some["path"]), value_set=touched))


def _whole_paths(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same tables, cut so that all parts of a path are in one of them."""
    rest = LEAF.empty_table()
    for table in tables:
        if not table.num_rows:
            continue
        joined = pa.concat_tables([rest, table])
        last = joined["path"][-1].as_py().partition("\0")[0]
        below: Any = pc.starts_with(joined["path"], pattern=f"{last}\0")
        count = joined.num_rows - int(pc.sum(below).as_py() or 0)
        if count:
            yield joined[:count]
        rest = joined[count:]
    if rest.num_rows:
        yield rest


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes files of their parts."""

    rule: Rule
    writer: ContentWriter
    reader: ContentReader

    def remake(self, parts: pa.Table) -> pa.Table:
        """The files of some paths, of all their parts in order."""
        parts = parts.combine_chunks()
        paths = paths_of(parts["path"])
        names: list[str] = paths.to_pylist()
        ends = [place for place, name in enumerate(names) if place + 1 == len(names) or names[place + 1] != name]
        files = parts.set_column(0, "path", paths).take(pa.array(ends, pa.int64()))
        if self.rule == "overwrite" or len(ends) == len(names):
            return files
        counts = np.diff([-1, *ends])
        single_part = files.filter(pa.array(counts == 1))
        joined = [
            self._join(names[end], list(entries_of(parts[end + 1 - count : end + 1])))
            for end, count in zip(ends, counts.tolist(), strict=True)
            if count > 1
        ]
        return concat_rows([single_part, leaf_table(joined)]).sort_by("path")

    def _join(self, path: str, parts: list[Entry]) -> Entry:
        rest = Concatenation(iter([part.content for part in parts[1:]]), self.reader)
        content = self.writer.append(parts[0].content, io.BufferedReader(rest, buffer_size=1 << 20), self.reader)
        newest = max(part.mtime_us for part in parts)
        return Entry(path, content, any(part.executable for part in parts), None, newest)


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
