"""Building the output tree when each path has one datum that writes it.

The base tree loses what vanished datums wrote and gains what arrived ones did, a bounded number of files at a
time. Removals come first, so that a new datum may take over the path of one that vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_pachy.errors import OutputCollision, PathConflict
from airflow_pachy.pfs.tree import sorted_changes
from airflow_pachy.pfs.tree.entries import Put, Remove
from airflow_pachy.pipelines.lookup import look_up
from airflow_pachy.pipelines.results import read_outputs
from airflow_pachy.pipelines.rows import read_row

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pfs.tree.entries import Change, Entry
    from airflow_pachy.pipelines.comparison import DatumChanges
    from airflow_pachy.pipelines.rows import DatumRow

BATCH_FILES = 200_000


@dataclass
class OutputBuilder:
    """Applies changes to the output tree. `datums` is the job's datum tree, for naming the owners of files."""

    store: ObjectStore
    tree: Tree
    datums: Tree
    batch_files: int = BATCH_FILES
    _removals: set[str] = field(default_factory=set)
    _puts: dict[str, Entry] = field(default_factory=dict)

    def build(self, changes: DatumChanges) -> Tree:
        """The new output tree. Raises `OutputCollision`, `PathConflict`, `Corrupt`."""
        for _, outputs in read_outputs(self.store, changes.vanished):
            self._removals.update(entry.path for entry in outputs)
            self._flush_when_full()
        for row, outputs in read_outputs(self.store, changes.arrived):
            for entry in outputs:
                self._put(row, entry)
            self._flush_when_full()
        self._flush()
        return self.tree

    def _put(self, row: DatumRow, entry: Entry) -> None:
        other = self._puts.get(entry.path)
        if other is not None:
            raise self._collision(entry.path, row.id, other.datum)
        self._puts[entry.path] = entry

    def _flush_when_full(self) -> None:
        if len(self._puts) + len(self._removals) >= self.batch_files:
            self._flush()

    def _flush(self) -> None:
        fresh = sorted(self._puts.keys() - self._removals)
        for path, present in look_up(self.tree, fresh):
            if present is not None:
                raise self._collision(path, self._puts[path].datum, present.datum)
        changes: list[Change] = [Remove(path) for path in self._removals - self._puts.keys()]
        changes += [Put(entry) for entry in self._puts.values()]
        try:
            self.tree = self.tree.apply(sorted_changes(changes))
        except PathConflict as error:
            raise PathConflict(
                f"the outputs of two datums do not fit into one tree: {error}. One datum writes a file where another "
                "writes a directory; let the code choose other names under /pfs/out"
            ) from error
        self._removals.clear()
        self._puts.clear()

    def _collision(self, path: str, one: str | None, other: str | None) -> OutputCollision:
        first, second = sorted((self._describe(one), self._describe(other)))
        return OutputCollision(
            f"two datums wrote /{path}: {first} and {second}. Let the code name its outputs after its inputs, or say "
            'what is meant: on_collision="append" concatenates the parts in the order of their inputs, '
            'on_collision="overwrite" keeps the last of them'
        )

    def _describe(self, datum: str | None) -> str:
        found = self.datums.get(datum) if datum else None
        return read_row(found).describe() if found else f"datum {datum}"
