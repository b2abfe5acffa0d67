"""The range reads for files in rows of a leaf, planned by column: which they are is known before any row is Python's.

What is said of each file is made span by span, while the bytes are on their way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_pachy.pfs.content.spans import GAP_BYTES
from airflow_pachy.pfs.tree import functions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from airflow_pachy.pfs.content.materialise import Part

    Numbers = npt.NDArray[np.int64]


class SingleRows:
    """The files of one segment among rows of a leaf, in the order in which they lie in their objects.

    `others` are the other rows.
    """

    def __init__(self, table: pa.Table) -> None:
        counts: Any = functions.call("list_value_length", table["segments"])
        single: Any = counts.to_numpy(zero_copy_only=False) == 1
        self.others = table[:0]
        if not single.all():
            table, self.others = functions.filtered(table, single), functions.filtered(table, ~single)
        segments: Any = functions.call("list_flatten", table["segments"])
        objects = _one(functions.call("dictionary_encode", _one(functions.struct_field(segments, 0))))
        codes, starts = objects.indices.to_numpy(), _numbers(functions.struct_field(segments, 1))
        order: Any = np.lexsort((starts, codes))
        self._objects: list[str] = objects.dictionary.to_pylist()
        self._codes: Any = codes[order]
        self._starts: Numbers = starts[order]
        self._lengths: Numbers = _numbers(functions.struct_field(segments, 2))[order]
        self._order = order
        self._columns = [_one(table[name]) for name in ("path", "hash", "executable", "mtime_us")]

    def spans(self, sizes: Iterator[int]) -> Iterator[tuple[str, int, int, slice]]:
        """Object, offset, end and rows of each read, as `plan_spans` would have them.

        `sizes` are the most bytes of each, but for a read of a single file.
        """
        if not len(self._starts):
            return
        # All objects one after the other, so far apart that a read never goes from one to the next.
        ends = self._starts + self._lengths
        firsts = np.flatnonzero(np.diff(self._codes, prepend=-1))
        extents = np.maximum.reduceat(ends, firsts) + GAP_BYTES + 1
        base = np.repeat(np.cumsum(extents) - extents, np.diff(firsts, append=len(ends)))
        begin, reach = base + self._starts, np.maximum.accumulate(base + ends)
        gaps = np.flatnonzero(begin[1:] > reach[:-1] + GAP_BYTES) + 1
        first = 0
        for stop in [*gaps.tolist(), len(ends)]:
            while first < stop:
                last = first + int(np.searchsorted(reach[first:stop], begin[first] + next(sizes), "right"))
                last = max(last, first + 1)
                yield (
                    self._objects[self._codes[first]],
                    int(self._starts[first]),
                    int(ends[first:last].max()),
                    slice(first, last),
                )
                first = last

    def paths(self, rows: slice) -> list[str]:
        """Of the files in these rows."""
        found: list[str] = functions.take(self._columns[0], self._order[rows]).to_pylist()
        return found

    def parts(self, rows: slice, base: int, names: list[str]) -> list[Part]:
        """What there is to write of the files in these rows, whose bytes begin at `base`, under these names."""
        digests, executables, times = (functions.take(column, self._order[rows]) for column in self._columns[1:])
        count = len(names)
        fields = (
            (self._starts[rows] - base).tolist(),
            self._lengths[rows].tolist(),
            _bytes_of(digests),
            names,
            executables.to_pylist(),
            times.to_numpy().tolist(),
            [0] * count,
            [None] * count,
        )
        return list(zip(*fields, strict=True))


def _one(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _numbers(column: Any) -> Numbers:
    numbers: Numbers = _one(column).to_numpy()
    return numbers


def _bytes_of(digests: Any) -> list[bytes]:
    """As `to_pylist`, which takes three times as long for values of a fixed size."""
    width = digests.type.byte_width
    start = digests.offset * width
    body = memoryview(digests.buffers()[1])[start : start + len(digests) * width].tobytes()
    return [body[place : place + width] for place in range(0, len(body), width)]
