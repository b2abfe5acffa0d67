"""The result records of a job, as far as the planner and assembly need them.

A record is found by listing the job's folder, whatever attempt or zombie pod wrote it; what counts for a
datum is its first success, else its last word. Only where the outputs lie is kept, not the outputs:
they are read again, record by record, when they go into the output tree.
"""

from __future__ import annotations

from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.worker.records import decode_results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.entries import Entry
    from airflow_pachy.pipelines.rows import DatumRow
    from airflow_pachy.worker.records import DatumState

_OUTCOME_COLUMNS = ["datum", "state", "reason", "download_bytes", "upload_bytes"]
_FETCHES = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a datum, and where that is recorded."""

    state: DatumState
    error: str
    record: str
    row: int
    download_bytes: int
    upload_bytes: int


def read_outcomes(store: ObjectStore, job: str) -> dict[str, Outcome]:
    """By datum id, the outcome that counts, of everything recorded for the job up to now."""
    keys = (info.key for info in store.list_keys(f"jobs/{job}/") if info.key.endswith(".parquet"))
    outcomes: dict[str, Outcome] = {}
    for key, body in fetch_ahead(store, keys):
        for row, (datum, state, reason, download_bytes, upload_bytes) in enumerate(_read_columns(body, key)):
            known = outcomes.get(datum)
            if known is None or known.state != "success":
                outcomes[datum] = Outcome(state, reason, key, row, download_bytes, upload_bytes)
    return outcomes


def _read_columns(body: bytes, key: str) -> Iterator[tuple[str, DatumState, str, int, int]]:
    """The columns of `Outcome`; outputs, by far the most of a record, are not decoded."""
    try:
        table = pq.read_table(pa.BufferReader(body), columns=_OUTCOME_COLUMNS)
        return zip(*(table[name].to_pylist() for name in _OUTCOME_COLUMNS), strict=True)
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


def read_outputs(store: ObjectStore, rows: Iterable[DatumRow]) -> Iterator[tuple[DatumRow, tuple[Entry, ...]]]:
    """The output files of successful datums, each record read once. Raises `Corrupt` if a record is gone or another."""
    by_record: dict[str, list[DatumRow]] = defaultdict(list)
    for row in rows:
        by_record[row.record or ""].append(row)
    try:
        for key, body in fetch_ahead(store, sorted(by_record)):
            results = decode_results(body, key=key)
            for row in sorted(by_record[key], key=lambda one: one.row):
                if row.row >= len(results) or results[row.row].datum != row.id:
                    raise Corrupt(
                        f"result record {key} does not hold {row.describe()} at row {row.row}: run `pachy fsck`"
                    )
                yield row, results[row.row].outputs
    except ObjectNotFound as error:
        raise Corrupt(f"a result record is gone ({error}); reprocess the pipeline to write it anew") from error
