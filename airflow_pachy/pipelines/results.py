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
from airflow_pachy.pfs.tree.schema import LEAF, single
from airflow_pachy.pipelines.rows_table import split_fields

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
    "record": pa.string(),
    "row": pa.int64(),
}
_OUTCOME = pa.schema(_FIELDS)
_FETCHES = 8


def read_outcomes(store: ObjectStore, job: str | None) -> pa.Table:
    """Of everything recorded for the job up to now, the outcome that counts of each datum, ascending by datum.

    Nothing for None.
    Columns: datum, state, reason, download_bytes, upload_bytes, record, row.
    """
    found = store.list_keys(f"jobs/{job}/") if job is not None else ()
    keys = (info.key for info in found if info.key.endswith(".parquet"))
    tables = [_read_columns(body, key) for key, body in fetch_ahead(store, keys)]
    if not tables:
        return _OUTCOME.empty_table()
    outcomes = pa.concat_tables(tables)
    return outcomes.take(_best(outcomes))


def _best(outcomes: pa.Table) -> Any:
    """Places of the rows that count, in the order of their datums."""
    count = outcomes.num_rows
    order = np.arange(count)
    success: Any = pc.is_in(outcomes["state"], value_set=pa.array(["success"]))
    # The first success scores lowest; of failures the last one does.
    score = np.where(success.to_numpy(), order, 2 * count - order)
    scored: Any = pa.table({"datum": outcomes["datum"], "score": score})
    best = scored.group_by("datum", use_threads=False).aggregate([("score", "min")]).sort_by("datum")["score_min"]
    found = best.to_numpy()
    return pa.array(np.where(found < count, found, 2 * count - found))


def _read_columns(body: bytes, key: str) -> pa.Table:
    """The columns of an outcome; outputs, by far the most of a record, are not decoded."""
    try:
        table = read_parquet(body, _OUTCOME_COLUMNS).select(_OUTCOME_COLUMNS)
    except (pa.ArrowException, KeyError) as error:
        raise Corrupt(f"{key} is not a result record ({error}): delete it and rerun the job's datum set") from error
    records: Any = pa.array([key] * table.num_rows, pa.string())
    return table.append_column("record", records).append_column("row", pa.array(range(table.num_rows), pa.int64()))


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
class Outputs:
    """What some datums wrote: `files` has the columns of a tree's leaves; file n is by the datum at `owner[n]`.

    `datums` are path and content of the rows of these datums, in the order of their results in one record.
    """

    datums: pa.Table
    files: pa.Table
    owner: Any


def read_outputs(store: ObjectStore, datums: pa.Table) -> Iterator[Outputs]:
    """The output files of successful datums (rows of a job's tree), one record at a time, each record read once.

    Raises `Corrupt` if a record is gone or another.
    """
    if not datums.num_rows:
        return
    fields = split_fields(datums)
    numbered: Any = pa.table(
        {"record": fields[4].cast(pa.string()), "row": fields[5].cast(pa.string()).cast(pa.int64())}
    )
    del fields
    order = pc.sort_indices(numbered, sort_keys=[("record", "ascending"), ("row", "ascending")])
    # All at once, for slices cost nothing: taking a few rows of a table in pieces copies all of it each time.
    numbered, ordered = numbered.take(order), datums.select(["path", "inline"]).take(order).combine_chunks()
    encoded: Any = single(numbered["record"]).dictionary_encode()
    starts = np.flatnonzero(np.diff(encoded.indices.to_numpy(), prepend=-1)).tolist()
    names: list[str] = encoded.dictionary.to_pylist()
    groups = iter(zip(starts, [*starts[1:], len(order)], strict=False))
    try:
        for (key, body), (start, end) in zip(fetch_ahead(store, names), groups, strict=True):
            yield _outputs_of(body, key, ordered[start:end], numbered["row"][start:end])
    except ObjectNotFound as error:
        raise Corrupt(f"a result record is gone ({error}); reprocess the pipeline to write it anew") from error


def _outputs_of(body: bytes, key: str, datums: pa.Table, rows: Any) -> Outputs:
    try:
        table = read_parquet(body, ["datum", "outputs"])
        found = table.take(rows) if pc.max(rows).as_py() < table.num_rows else table[:0]
        ids, outputs = single(found["datum"]), single(found["outputs"])
    except (pa.ArrowException, KeyError) as error:
        raise Corrupt(
            f"{key} is not a result record ({error}): delete it and rerun the job's failed datum set"
        ) from error
    if not ids.equals(single(datums["path"])):
        raise Corrupt(
            f"result record {key} does not hold datum {datums['path'][0]} and others where their rows say: "
            "run `pachy fsck`"
        )
    owner: Any = pc.list_parent_indices(outputs)
    flat: Any = pc.list_flatten(outputs)
    columns = {name: pc.struct_field(flat, name) for name in ("path", "hash", "size", "executable", "segments")}
    columns |= {"inline": pc.struct_field(flat, "inline"), "datum": ids.take(owner)}
    columns["mtime_us"] = pc.struct_field(flat, "mtime_us")
    return Outputs(datums, pa.table([columns[name] for name in LEAF.names], schema=LEAF), owner.to_numpy())
