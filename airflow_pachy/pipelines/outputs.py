"""Building the output tree when each path has one datum that writes it.

The base tree loses what vanished datums wrote and gains what arrived ones did, a bounded number of files at a
time. Removals come first, so that a new datum may take over the path of one that vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.errors import OutputCollision, PathConflict
from airflow_pachy.pfs.tree.bulk import concat_rows
from airflow_pachy.pfs.tree.schema import single
from airflow_pachy.pipelines.plain_memory import release_memory
from airflow_pachy.pipelines.results import read_outputs
from airflow_pachy.pipelines.rows import read_row

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree import Tree
    from airflow_pachy.pipelines.comparison import DatumChanges

BATCH_FILES = 500_000


@dataclass
class OutputBuilder:
    """Applies changes to the output tree. `datums` is the job's datum tree, for naming the owners of files."""

    store: ObjectStore
    tree: Tree
    datums: Tree
    batch_files: int = BATCH_FILES
    _removals: list[Any] = field(default_factory=list)
    _puts: list[pa.Table] = field(default_factory=list)
    _waiting: int = 0

    def build(self, changes: DatumChanges) -> Tree:
        """The new output tree. Raises `OutputCollision`, `PathConflict`, `Corrupt`."""
        for outputs in read_outputs(self.store, changes.vanished):
            self._removals.append(single(outputs.files["path"]))
            self._count(outputs.files)
        for outputs in read_outputs(self.store, changes.arrived):
            self._puts.append(outputs.files)
            self._count(outputs.files)
        self._flush()
        return self.tree

    def _count(self, files: pa.Table) -> None:
        self._waiting += files.num_rows
        if self._waiting >= self.batch_files:
            self._flush()

    def _flush(self) -> None:
        removed = sorted_keys(self._removals)
        added = concat_rows(self._puts).sort_by("path")
        self._puts.clear()
        self._removals.clear()
        self._waiting = 0
        paths = single(added["path"])
        repeated: Any = pc.indices_nonzero(pc.equal(paths[:-1], paths[1:]))
        if len(repeated):
            place = repeated[0].as_py()
            raise self._collision(paths[place], added["datum"][place], added["datum"][place + 1])
        fresh = paths.filter(pc.invert(pc.is_in(paths, value_set=removed)))
        present = self.tree.find(fresh)
        if present.num_rows:
            path = present["path"][0]
            raise self._collision(path, added["datum"][pc.index(paths, path).as_py()], present["datum"][0])
        try:
            self.tree = self.tree.merge(removed, added)
        except PathConflict as error:
            raise unfit_outputs(error) from error
        release_memory(added.num_rows)

    def _collision(self, path: Any, one: Any, other: Any) -> OutputCollision:
        first, second = sorted((self._describe(one.as_py()), self._describe(other.as_py())))
        return OutputCollision(
            f"two datums wrote /{path}: {first} and {second}. Let the code name its outputs after its inputs, or say "
            'what is meant: on_collision="append" concatenates the parts in the order of their inputs, '
            'on_collision="overwrite" keeps the last of them'
        )

    def _describe(self, datum: str | None) -> str:
        found = self.datums.get(datum) if datum else None
        return read_row(found).describe() if found else f"datum {datum}"


def sorted_keys(columns: list[Any]) -> Any:
    """Strings of several columns, each once, ascending."""
    keys = pc.unique(pa.concat_arrays([pa.array([], pa.string()), *columns]))
    return keys.take(pc.sort_indices(keys))


def unfit_outputs(error: PathConflict) -> PathConflict:
    """The same error for the outputs of a job."""
    return PathConflict(
        f"the outputs of two datums do not fit into one tree: {error}. One datum writes a file where another "
        "writes a directory; let the code choose other names under /pfs/out"
    )
