"""The result records of a job, as far as the planner and assembly need them, as columns.

A record is found by listing the job's folder, whatever attempt or zombie pod wrote it; what counts for a
datum is its first success, else its last word. Only where the outputs lie is kept, not the outputs:
they are read again, record by record, when they go into the output tree.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.pfs.tree.codec import read_parquet
from airflow_pachy.pfs.tree.functions import as_array
from airflow_pachy.pfs.tree.schema import LEAF, single
from airflow_pachy.pipelines.rows_table import split_fields
from airflow_pachy.pipelines.sorting import sort_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from airflow_pachy.pfs.objects.store import ObjectStore

_OUTCOME_COLUMNS = ["datum", "state", "reason", "download_bytes", "upload_bytes"]
_FIELDS: dict[str, Any] = {
    "datum": pa.string(),
    "state": pa.string(),
    "reason": pa.string(),
    "download_bytes": pa.int64(),
    "upload_bytes": pa.int64(),
    # A few thousand records hold millions of outcomes.
    "record": pa.dictionary(pa.int32(), pa.string()),
    "row": pa.int32(),
}
_OUTCOME = pa.schema(_FIELDS)
_RECORDED: dict[str, Any] = {"datum": pa.string(), "record": pa.int32(), "row": pa.int32()}
_WITH_INPUTS: dict[str, Any] = {**_RECORDED, "inputs": pa.binary()}
_FETCHES = 8
_BATCH = 65_536


def read_outcomes(store: ObjectStore, job: str) -> pa.Table:
    """Of everything recorded for the job up to now, the outcome that counts of each datum, ascending by datum.

    Columns: datum, state, reason, download_bytes, upload_bytes, record, row.
    """
    keys = [info.key for info in store.list_keys(f"jobs/{job}/") if info.key.endswith(".parquet")]
    tables = [_read_columns(body, key) for key, body in fetch_ahead(store, keys)]
    if not tables:
        return _OUTCOME.empty_table()
    counts = [table.num_rows for table in tables]
    outcomes = pa.concat_tables(tables)
    tables.clear()
    columns: dict[str, Any] = {name: single(outcomes[name]) for name in _OUTCOME_COLUMNS}
    del outcomes
    record: Any = as_array(np.repeat(np.arange(len(keys), dtype=np.int32), counts))
    columns["record"] = pa.DictionaryArray.from_arrays(record, pa.array(keys, pa.string()))
    columns["row"] = as_array(np.concatenate([np.arange(count, dtype=np.int32) for count in counts]))
    places = as_array(_best(columns["datum"], columns["state"]))
    for name in _OUTCOME.names:
        # One column after the other, so that there are never two of everything.
        columns[name] = columns[name].take(places)
    return pa.table([columns[name] for name in _OUTCOME.names], schema=_OUTCOME)


def _best(datums: Any, states: Any) -> Any:
    """Places of the rows that count, in the order of their datums."""
    order = sort_places(datums)
    count = len(order)
    ordered = datums.take(as_array(order))
    same: Any = pc.equal(ordered[1:], ordered[:-1])
    starts = np.concatenate([[0], np.flatnonzero(~same.to_numpy(zero_copy_only=False)) + 1])
    if len(starts) == count:
        return order
    success: Any = pc.equal(states, pa.scalar("success"))
    # The first success scores lowest; of failures the last one does.
    score = np.where(success.to_numpy(zero_copy_only=False), np.arange(count), 2 * count - np.arange(count))
    found = np.minimum.reduceat(score[order], starts)
    return np.where(found < count, found, 2 * count - found)


def _read_columns(body: bytes, key: str) -> pa.Table:
    """The columns of an outcome; outputs, by far the most of a record, are not decoded."""
    try:
        return read_parquet(body, _OUTCOME_COLUMNS).select(_OUTCOME_COLUMNS)
    except (pa.ArrowException, KeyError) as error:
        raise Corrupt(f"{key} is not a result record ({error}): delete it and rerun the job's datum set") from error


def fetch_ahead(store: ObjectStore, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Objects in the order of their keys, a few of them on their way at any time. Raises `ObjectNotFound`."""
    with ThreadPoolExecutor(_FETCHES, thread_name_prefix="records") as pool:
        coming: deque[tuple[str, Future[bytes]]] = deque()
        for key in keys:
            coming.append((key, pool.submit(store.get, key)))
            if len(coming) > _FETCHES:
                first, future = coming.popleft()
                yield first, future.result()
        for key, future in coming:
            yield key, future.result()


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the results of some datums lie: `datums` has the columns datum, record (its place in `records`) and row.

    And inputs, the fields of its row that tell them, if these were asked for.
    """

    datums: pa.Table
    records: list[str]


class RecordedRows:
    """Gathers what rows of finished datums say of their records, which is a fifth of what they take as rows."""

    def __init__(self, *, with_inputs: bool) -> None:
        self._schema = pa.schema(_WITH_INPUTS if with_inputs else _RECORDED)
        self._numbers: dict[str, int] = {}
        self._tables = [self._schema.empty_table()]

    def add(self, rows: pa.Table) -> None:
        """Rows of a job's tree, with their columns path and inline."""
        for start in range(0, rows.num_rows, _BATCH):
            part = rows[start : start + _BATCH]
            fields = split_fields(part)
            record: Any = fields[4].cast(pa.string()).dictionary_encode()
            numbers = np.array([self._number(key) for key in record.dictionary.to_pylist()], np.int32)
            columns: dict[str, Any] = {
                "datum": single(part["path"]),
                "record": as_array(numbers[record.indices.to_numpy()]),
                "row": fields[5].cast(pa.string()).cast(pa.int32()),
                "inputs": fields[6],
            }
            self._tables.append(pa.table([columns[name] for name in self._schema.names], schema=self._schema))

    def done(self) -> Recorded:
        """All that was added."""
        return Recorded(pa.concat_tables(self._tables), list(self._numbers))

    def _number(self, record: str) -> int:
        return self._numbers.setdefault(record, len(self._numbers))


@dataclass(frozen=True, slots=True)
class Outputs:
    """What some datums wrote: `files` has the columns of a tree's leaves; file n is by the datum at `owner[n]`.

    `datums` are those of one record, with the columns of `Recorded`, in the order of their results.
    """

    datums: pa.Table
    files: pa.Table
    owner: Any


def read_outputs(store: ObjectStore, recorded: Recorded) -> Iterator[Outputs]:
    """The output files of successful datums, one record at a time, each record read once.

    Raises `Corrupt` if a record is gone or another.
    """
    if not recorded.datums.num_rows:
        return
    names = np.argsort(np.array(recorded.records, object))
    ranks = np.empty(len(names), np.int64)
    ranks[names] = np.arange(len(names))
    rank = ranks[single(recorded.datums["record"]).to_numpy()]
    order = np.lexsort((single(recorded.datums["row"]).to_numpy(), rank))
    # All at once, for slices cost nothing: taking a few rows of a table in pieces copies all of it each time.
    ordered = recorded.datums.take(as_array(order)).combine_chunks()
    starts = np.flatnonzero(np.diff(rank[order], prepend=-1)).tolist()
    keys = [recorded.records[name] for name in names[rank[order[starts]]].tolist()]
    groups = iter(zip(starts, [*starts[1:], len(order)], strict=False))
    try:
        for (key, body), (start, end) in zip(fetch_ahead(store, keys), groups, strict=True):
            yield _outputs_of(body, key, ordered[start:end])
    except ObjectNotFound as error:
        raise Corrupt(f"a result record is gone ({error}); reprocess the pipeline to write it anew") from error


def _outputs_of(body: bytes, key: str, datums: pa.Table) -> Outputs:
    rows = datums["row"]
    try:
        table = read_parquet(body, ["datum", "outputs"])
        found = table.take(rows) if pc.max(rows).as_py() < table.num_rows else table[:0]
        ids, outputs = single(found["datum"]), single(found["outputs"])
    except (pa.ArrowException, KeyError) as error:
        raise Corrupt(
            f"{key} is not a result record ({error}): delete it and rerun the job's failed datum set"
        ) from error
    if not ids.equals(single(datums["datum"])):
        raise Corrupt(
            f"result record {key} does not hold datum {datums['datum'][0]} and others where their rows say: "
            "run `pachy fsck`"
        )
    owner: Any = pc.list_parent_indices(outputs)
    flat: Any = pc.list_flatten(outputs)
    columns = {name: pc.struct_field(flat, name) for name in ("path", "hash", "size", "executable", "segments")}
    columns |= {"inline": pc.struct_field(flat, "inline"), "datum": ids.take(owner)}
    columns["mtime_us"] = pc.struct_field(flat, "mtime_us")
    return Outputs(datums, pa.table([columns[name] for name in LEAF.names], schema=LEAF), owner.to_numpy())
