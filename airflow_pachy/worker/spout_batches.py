"""A spout's batches in the bucket: what one tar archive held, as a write-once record, until somebody commits it.

    spouts/<stream>/<life>/<sequence>.parquet      with -m before the dot if it has a marker

A stream belongs to a pipeline, a life to one start of its helper. Lives sort by their start and sequences count from
1 without a gap, so the order of keys is the order of commits. A record is a result record (`worker.records`)
with one result, whose outputs are the files in the archive's order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.objects.ulid import new_ulid
from airflow_pachy.worker.records import DatumResult, decode_results, encode_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree.entries import Entry

SPOUTS = "spouts/"
OVERWRITE = "overwrite"
"""The reason that a batch has when its files replace those of their paths."""
_KEY = re.compile(r"spouts/(?P<stream>[^/]+)/(?P<life>[0-9A-Z]{26})/(?P<sequence>\d{12})(?P<marked>-m)?\.parquet")
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True, order=True)
class BatchKey:
    """Where a batch lies; sorts in the order in which batches are committed."""

    stream: str
    life: str
    sequence: int
    marked: bool = False

    def __str__(self) -> str:
        return f"{SPOUTS}{self.stream}/{self.life}/{self.sequence:012d}{'-m' if self.marked else ''}.parquet"

    @classmethod
    def parse(cls, key: str) -> BatchKey | None:
        """From an object's key; None for a key of another form."""
        match = _KEY.fullmatch(key)
        if match is None:
            return None
        return cls(match["stream"], match["life"], int(match["sequence"]), match["marked"] is not None)


def list_batches(store: ObjectStore, stream: str, after: BatchKey | None = None) -> Iterator[BatchKey]:
    """The batches of a stream in order, those beyond `after`. Raises store errors."""
    for info in store.list_keys(f"{SPOUTS}{stream}/", after=str(after) if after else None):
        key = BatchKey.parse(info.key)
        if key is not None and (after is None or key > after):
            yield key


def write_batch(
    store: ObjectStore, key: BatchKey, files: Sequence[Entry], *, started_us: int, overwrite: bool = False
) -> None:
    """Record a batch whose contents are durable; with `overwrite` its files replace others, whatever the spout does."""
    size = sum(entry.content.size_bytes for entry in files)
    name = f"{key.life}-{key.sequence}"
    result = DatumResult(
        name,
        "success",
        reason=OVERWRITE if overwrite else "",
        started_us=started_us,
        upload_bytes=size,
        outputs=tuple(files),
    )
    store.put(str(key), encode_results([result]), if_absent=True)


def read_batch(store: ObjectStore, key: BatchKey) -> DatumResult:
    """A batch. Raises `Corrupt`, store errors."""
    results = decode_results(store.get(str(key)), key=str(key))
    if len(results) != 1:
        raise Corrupt(f"{key} has {len(results)} results, and a spout's batch has one: delete it")
    return results[0]


def new_life(newest: BatchKey | None) -> str:
    """A name for a life that begins now, after all that have left batches, whatever this machine's clock says."""
    mine = new_ulid()
    if newest is None or mine > newest.life:
        return mine
    value = 0
    for digit in newest.life:
        value = value << 5 | _DIGITS.index(digit)
    value += 1
    return "".join(_DIGITS[value >> shift & 31] for shift in range(125, -1, -5))


def is_marker(path: str, marker: str) -> bool:
    """Whether a file of a batch is the spout's note to itself."""
    return bool(marker) and (path == marker or path.startswith(f"{marker}/"))
