"""What a batch of files that were read makes of a tree: rows for those that differ from what it has, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.content.writer import INLINE_BYTES
from airflow_pachy.pfs.local_files import WHOLE_BYTES
from airflow_pachy.pfs.paths import join_path
from airflow_pachy.pfs.scanning import KNOWN, LARGE, READ
from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.entries import Content, Entry
from airflow_pachy.pfs.tree.functions import as_array, call, fill_null, index_in, sort_indices, take
from airflow_pachy.pfs.tree.rows import entries_of, leaf_table
from airflow_pachy.pfs.tree.schema import HASH, LEAF, SEGMENT, single

if TYPE_CHECKING:
    from airflow_pachy.pfs.content import ContentWriter
    from airflow_pachy.pfs.local_directories import LocalDirectory
    from airflow_pachy.pfs.scanning import FileBatch
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.uploads import KnownChunks, Told


@dataclass(frozen=True, slots=True)
class Putting:
    """Where files come from and go to."""

    directory: LocalDirectory
    target: str
    writer: ContentWriter
    known: KnownChunks
    told: Told


class BatchRows:
    """One batch beside what the tree has at its paths."""

    def __init__(self, putting: Putting, tree: Tree, batch: FileBatch) -> None:
        self._putting = putting
        self._batch = batch
        target = putting.target
        self._paths = [join_path(target, path) for path in batch.paths] if target else batch.paths
        self._mtimes_us: Any = np.frombuffer(batch.mtimes_ns, np.int64) // 1000
        self._executable: Any = np.frombuffer(batch.executable, np.bool_)
        self._lengths: Any = np.frombuffer(batch.lengths, np.int64)
        self._starts: Any = np.cumsum(self._lengths) - self._lengths
        keys: Any = pa.array(self._paths, pa.string())
        self._there = tree.find(keys).combine_chunks()
        # Row of each file in there; -1 for one that the tree has not.
        self._places: Any = np.arange(len(batch))
        if self._there.num_rows != len(batch):
            found = index_in(keys, value_set=single(self._there["path"]))
            self._places = fill_null(found, -1).to_numpy().astype(np.int64)

    def table(self) -> pa.Table | None:
        """Rows of the files that differ, in the order of their paths. Completes the hashes of the batch."""
        kinds = np.frombuffer(self._batch.kinds, np.uint8)
        same = self._same_content() & (kinds != LARGE)
        alike = same & self._same_attributes()
        parts = [self._touched(np.flatnonzero(same & ~alike)), self._stored(np.flatnonzero(~same & (kinds == READ)))]
        parts += [self._read_now(np.flatnonzero(~same & (kinds != READ)))]
        size_bytes = self._lengths.sum() + np.frombuffer(self._batch.sizes, np.int64)[same & (kinds == KNOWN)].sum()
        self._putting.told.add(len(self._batch), int(size_bytes))  # but for what was read just now, which was told
        tables = [part for part in parts if part.num_rows]
        if len(tables) < 2:
            return tables[0] if tables else None
        joined = concat_rows(tables).combine_chunks()
        ordered: pa.Table = take(joined, sort_indices(single(joined["path"])))
        return ordered

    def _same_content(self) -> Any:
        """For each file whether the tree has a file with this hash there."""
        same = self._places >= 0
        places = self._places[same]
        mine = np.frombuffer(self._batch.hashes, np.uint64).reshape(-1, 4)[same]
        array: Any = single(self._there["hash"])
        words = np.frombuffer(array.buffers()[1], np.uint64) if len(array) else np.zeros(0, np.uint64)
        theirs = words[4 * array.offset : 4 * (array.offset + len(array))].reshape(-1, 4)[places]
        same[same] = (mine == theirs).all(axis=1)
        return same

    def _same_attributes(self) -> Any:
        """For each file whether putting it again would leave all but the content of what is there as it is."""
        same = self._places >= 0
        places = self._places[same]
        executable, mtimes = (self._there[name].to_numpy()[places] for name in ("executable", "mtime_us"))
        user_put = np.logical_not(call("is_valid", self._there["datum"]).to_numpy())
        kept = (executable == self._executable[same]) & (mtimes == self._mtimes_us[same])
        same[same] = kept & user_put[places]
        return same

    def _touched(self, files: Any) -> pa.Table:
        """Rows of files whose content is there already, with their new times and rights."""
        rows = take(self._there, self._places[files])
        changed = {
            "executable": as_array(self._executable[files]),
            "datum": pa.nulls(len(files), pa.string()),
            "mtime_us": as_array(self._mtimes_us[files]),
        }
        return pa.table([changed.get(name, rows[name]) for name in LEAF.names], schema=LEAF)

    def _stored(self, files: Any) -> pa.Table:
        """Rows of files that were read, whose content is stored now."""
        lengths = self._lengths[files]
        if not len(files):
            return LEAF.empty_table()
        packed = lengths > INLINE_BYTES
        inline = files[~packed]
        objects, offsets = self._store_run(files[packed])
        ends = np.concatenate([[0], np.cumsum(packed)])
        columns: list[Any] = [
            pa.array([self._paths[file] for file in files], pa.string()),
            _hashes(self._batch, files),
            as_array(lengths),
            as_array(self._executable[files]),
            pa.ListArray.from_arrays(as_array(ends.astype(np.int32)), _segments(objects, offsets, lengths[packed])),
            self._inline(inline, packed),
            pa.nulls(len(files), pa.string()),
            as_array(self._mtimes_us[files]),
        ]
        return pa.table(columns, schema=LEAF)

    def _store_run(self, files: Any) -> tuple[list[str], list[int]]:
        objects: list[str] = []
        offsets: list[int] = []
        batch, starts, lengths = self._batch, self._starts[files], self._lengths[files]
        # What lies together goes into a pack together.
        breaks = np.flatnonzero(starts[1:] != starts[:-1] + lengths[:-1]) + 1
        for run in np.split(np.arange(len(files)), breaks) if len(files) else ():
            first, end = run[0], run[-1] + 1
            data = batch.data[starts[first] : starts[end - 1] + lengths[end - 1]]
            digests = [batch.hash(file) for file in files[first:end].tolist()]
            found = self._putting.writer.write_run(data, lengths[first:end].tolist(), digests)
            objects += found[0]
            offsets += found[1]
        return objects, offsets

    def _inline(self, inline: Any, packed: Any) -> pa.Array[Any]:
        if not len(inline):
            return pa.nulls(len(packed), pa.binary())
        contents = iter([self._data(int(file)) for file in inline])
        return pa.array([None if is_packed else next(contents) for is_packed in packed.tolist()], pa.binary())

    def _data(self, file: int) -> bytes:
        """What was read of a file."""
        start = int(self._starts[file])
        return bytes(self._batch.data[start : start + self._batch.lengths[file]])

    def _read_now(self, files: Any) -> pa.Table:
        """Rows of files that were not read, be it that they are large, or that the tree has not what they held."""
        entries = []
        for file in files.tolist():
            present = self._present(file)
            content = self._read_one(file, present)
            self._batch.hashes[32 * file : 32 * (file + 1)] = content.hash
            if present is None or present.content.hash != content.hash:
                entries.append(self._entry(file, content))
            elif not self._is_alike(file, present):
                entries.append(self._entry(file, present.content))
        return leaf_table(entries) if entries else LEAF.empty_table()

    def _read_one(self, file: int, present: Entry | None) -> Content:
        putting, batch = self._putting, self._batch
        with open(putting.directory.local(batch.paths[file]), "rb") as stream:
            if batch.sizes[file] <= WHOLE_BYTES:
                data = stream.read(WHOLE_BYTES + 1)
                if len(data) <= WHOLE_BYTES:
                    return self._small(data, present)
                stream.seek(0)  # it grew since it was found
            putting.known.see(present)
            return putting.writer.write(putting.told.reading(stream))

    def _small(self, data: bytes, present: Entry | None) -> Content:
        self._putting.told.add(0, len(data))
        digest = hash_bytes(data)
        if present is not None and present.content.hash == digest:
            return present.content
        return self._putting.writer.write_small(data, digest)

    def _present(self, file: int) -> Entry | None:
        place = int(self._places[file])
        return None if place < 0 else next(entries_of(self._there[place : place + 1]))

    def _is_alike(self, file: int, present: Entry) -> bool:
        entry = self._entry(file, present.content)
        return (present.executable, present.mtime_us, present.datum) == (entry.executable, entry.mtime_us, None)

    def _entry(self, file: int, content: Content) -> Entry:
        return Entry(self._paths[file], content, bool(self._executable[file]), None, int(self._mtimes_us[file]))


def _hashes(batch: FileBatch, files: Any) -> pa.Array[Any]:
    chosen = np.frombuffer(batch.hashes, np.uint64).reshape(-1, 4)[files]
    buffers = [None, pa.py_buffer(chosen.tobytes())]
    return cast("pa.Array[Any]", pa.Array.from_buffers(HASH, len(chosen), buffers))


def _segments(objects: list[str], offsets: list[int], lengths: Any) -> pa.Array[Any]:
    parts: list[Any] = [
        pa.array(objects, pa.string()),
        pa.array(offsets, pa.int64()),
        as_array(lengths),
        pa.nulls(len(objects), HASH),
    ]
    return pa.StructArray.from_arrays(parts, fields=list(SEGMENT))
