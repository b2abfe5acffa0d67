"""Reading, of Parquet objects that lead to other objects, only the columns that do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_pachy.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

_PLACES = ("object", "offset", "length")

FILE_COLUMNS = tuple(f"segments.list.element.{name}" for name in _PLACES)
"""Of a leaf of files, or of a batch of changes: where contents lie."""
CHILD_COLUMNS = ("id", "ulid", "rows", "bytes")
"""Of an inner node: its children."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunks of one pack that an object refers to."""

    pack: str
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def read_columns(body: bytes, columns: Sequence[str], key: str) -> pa.Table:
    """Some columns, pages checked against their checksums where they have any. Raises `Corrupt`."""
    try:
        source = pq.ParquetFile(pa.BufferReader(body), page_checksum_verification=True)
        return source.read(columns=list(columns), use_threads=False)
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise Corrupt(f"{key} is not what it should be ({error}): run `pachy fsck`") from error


def chunks_of(segments: Any) -> Iterator[Chunks]:
    """What a column of segments refers to, by pack. `segments` may be nested in lists."""
    flat = segments.combine_chunks() if isinstance(segments, pa.ChunkedArray) else segments
    while pa.types.is_list(flat.type):
        flat = pc.list_flatten(flat)
    if not len(flat):
        return
    fields = [flat.type.get_field_index(name) for name in _PLACES]
    packs, offsets, lengths = (pc.struct_field(flat, index) for index in fields)
    named: Any = packs.dictionary_encode()
    codes = named.indices.to_numpy(zero_copy_only=False)
    places, sizes = offsets.to_numpy(zero_copy_only=False), lengths.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    bounds = np.flatnonzero(np.diff(codes[order])) + 1
    for part in np.split(order, bounds):
        yield Chunks(named.dictionary[int(codes[part[0]])].as_py(), places[part], sizes[part])
