"""Result records: what happened to each datum of a set and where its output lies, as write-once Parquet objects.

They are the worker's only word on success. A record is written after the content it points to is
durable, never changed, and never trusted to be alone: a restarted set writes a second attempt
beside the first, and readers take the first success in (attempt, seq) order.
"""

from __future__ import annotations

import io
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_pachy.errors import Corrupt, ObjectExists
from airflow_pachy.pfs.tree.codec import read_parquet
from airflow_pachy.pfs.tree.entries import Content, Entry, Segment
from airflow_pachy.pfs.tree.schema import HASH, SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from airflow_pachy.pfs.objects.store import ObjectStore

DatumState = Literal["success", "recovered", "failed"]

_OUTPUT = pa.struct(
    [
        ("path", pa.string()),
        ("hash", HASH),
        ("size", pa.int64()),
        ("executable", pa.bool_()),
        ("mtime_us", pa.int64()),
        ("segments", pa.list_(SEGMENT)),
        ("inline", pa.binary()),
    ]
)
_FIELDS: dict[str, Any] = {
    "datum": pa.string(),
    "state": pa.string(),
    "tries": pa.int32(),
    "exit_code": pa.int32(),
    "reason": pa.string(),
    "log_tail": pa.string(),
    "started_us": pa.int64(),
    "download_us": pa.int64(),
    "process_us": pa.int64(),
    "upload_us": pa.int64(),
    "download_bytes": pa.int64(),
    "upload_bytes": pa.int64(),
    "outputs": pa.list_(_OUTPUT),
}
SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True, slots=True)
class DatumResult:
    """What became of one datum.

    `exit_code` is that of the last try (128 + n for signal n, None when it never started), `reason`
    says in a sentence why a datum did not succeed, `log_tail` holds the last lines of a failed try.
    Times are microseconds, `started_us` since the epoch. `outputs` has one entry per file under
    /pfs/out, paths relative to it; only a success has outputs.
    """

    datum: str
    state: DatumState
    tries: int = 1
    exit_code: int | None = 0
    reason: str = ""
    log_tail: str = ""
    started_us: int = 0
    download_us: int = 0
    process_us: int = 0
    upload_us: int = 0
    download_bytes: int = 0
    upload_bytes: int = 0
    outputs: tuple[Entry, ...] = ()


def encode_results(results: Iterable[DatumResult]) -> bytes:
    """Results as the bytes of one Parquet file with the columns of `SCHEMA`."""
    table = pa.Table.from_pylist([_to_row(result) for result in results], schema=SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def decode_results(body: bytes, *, key: str = "result record") -> list[DatumResult]:
    """Read what `encode_results` wrote; `key` names the object in errors. Raises `Corrupt`."""
    with _decoding(key):
        rows = read_parquet(body).to_pylist()
        return [_from_row(row) for row in rows]


class RecordFile:
    """One record object, of which few results are wanted. Raises `Corrupt`."""

    def __init__(self, body: bytes, key: str) -> None:
        self._key = key
        with _decoding(key):
            self._table = read_parquet(body)

    def result(self, row: int) -> DatumResult:
        """The result in this row, counted from 0."""
        with _decoding(self._key):
            return _from_row(self._table.slice(row, 1).to_pylist()[0])


@contextmanager
def _decoding(key: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, KeyError, TypeError, ValueError, IndexError) as error:
        raise Corrupt(
            f"{key} is not a result record ({error}): delete it and rerun the job's failed datum set"
        ) from error


def _to_row(result: DatumResult) -> dict[str, Any]:
    row = {name: getattr(result, name) for name in SCHEMA.names if name != "outputs"}
    row["outputs"] = [
        {
            "path": entry.path,
            "hash": entry.content.hash,
            "size": entry.content.size_bytes,
            "executable": entry.executable,
            "mtime_us": entry.mtime_us,
            "segments": [
                {"object": part.object, "offset": part.offset, "length": part.length, "hash": part.hash}
                for part in entry.content.segments
            ],
            "inline": entry.content.inline,
        }
        for entry in result.outputs
    ]
    return row


def _from_row(row: dict[str, Any]) -> DatumResult:
    if row["state"] not in get_args(DatumState):
        raise ValueError(f"unknown datum state {row['state']!r}")
    outputs = tuple(_to_entry(output, row["datum"]) for output in row["outputs"])
    return DatumResult(**{**{name: row[name] for name in SCHEMA.names}, "outputs": outputs})


def _to_entry(output: dict[str, Any], datum: str) -> Entry:
    segments = tuple(Segment(**part) for part in output["segments"])
    content = Content(output["hash"], output["size"], segments, output["inline"])
    return Entry(output["path"], content, output["executable"], datum, output["mtime_us"])


class ResultWriter:
    """Appends results under `prefix` (`jobs/<job>/<set>/<attempt>`), one object per flush.

    A flush happens at `max_datums`, at `max_bytes` of output not yet recorded, when the oldest
    unrecorded result is `max_seconds` old (see `flush_if_due`), and at the end. `before_flush` is
    called first and must make the content that the results point to durable. Results added but not
    flushed are lost with the process, as if their datums had not run. Not thread-safe.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        *,
        before_flush: Callable[[], None] = lambda: None,
        max_datums: int = 1_000,
        max_bytes: int = 64 << 20,
        max_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._prefix = prefix.strip("/")
        self._before_flush = before_flush
        self._max_datums = max_datums
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._clock = clock
        self._pending: list[DatumResult] = []
        self._pending_bytes = 0
        self._oldest = 0.0
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()

    def add(self, result: DatumResult) -> None:
        """Append a result, flushing when a limit is reached."""
        if not self._pending:
            self._oldest = self._clock()
        self._pending.append(result)
        self._pending_bytes += sum(256 + entry.content.size_bytes for entry in result.outputs) + len(result.log_tail)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Flush when a limit is reached; to be called now and then while a long datum runs."""
        if not self._pending:
            return
        full = len(self._pending) >= self._max_datums or self._pending_bytes >= self._max_bytes
        if full or self._clock() - self._oldest >= self._max_seconds:
            self.flush()

    def flush(self) -> None:
        """Make every added result durable."""
        if not self._pending:
            return
        self._before_flush()
        body = encode_results(self._pending)
        while True:
            key = f"{self._prefix}/{self._sequence:06d}.parquet"
            self._sequence += 1
            try:
                self._store.put(key, body, if_absent=True)
            except ObjectExists:
                # An earlier life of this attempt wrote it, or our own PUT was retried after a lost
                # answer. A second copy of a record is harmless, an overwritten one is not.
                continue
            break
        self._pending.clear()
        self._pending_bytes = 0


def read_results(store: ObjectStore, job: str, sets: Iterable[str]) -> Iterator[DatumResult]:
    """Every recorded result of the sets, in (set, attempt, seq) order, one object in memory at a time."""
    for name in sets:
        yield from read_set_results(store, f"jobs/{job}/{name}")


def read_set_results(store: ObjectStore, results_prefix: str) -> Iterator[DatumResult]:
    """Every recorded result under a set's `results_prefix`, in (attempt, seq) order."""
    for _, results in set_records(store, results_prefix):
        yield from results


def set_records(store: ObjectStore, results_prefix: str) -> Iterator[tuple[str, list[DatumResult]]]:
    """Every record object under a set's `results_prefix` in (attempt, seq) order: the attempt's name, its results."""
    folder = f"{results_prefix.strip('/')}/"
    for info in store.list_keys(folder):
        if info.key.endswith(".parquet"):
            attempt = info.key.removeprefix(folder).partition("/")[0]
            yield attempt, decode_results(store.get(info.key), key=info.key)
