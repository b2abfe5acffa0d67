"""The order of a million strings: words of eight bytes are compared as numbers, further ones only where these agree.

Datum ids are random and keys of files often long and alike; comparing them byte by byte is what planning a large job
would spend most of its time on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WORD = 8


def sort_places(values: Any) -> Any:
    """Where the values of a string or binary array lie in ascending order, equal ones in the order they came.

    The order is that of the bytes, which for UTF-8 is that of the code points. `values` has no nulls.
    """
    count = len(values)
    if is_ascending(values):
        return np.arange(count)
    starts, data = bytes_of(values)
    skipped = _shared(values)
    lengths = np.diff(starts) - skipped
    starts = starts[:-1] + skipped
    words = _words(data, starts, lengths, 0)
    order = np.argsort(words, kind="stable")
    words = words[order]
    # Rows that agree so far, by the number of the value that they agree in.
    tied, group = _ties(np.arange(count), np.concatenate([[False], words[1:] == words[:-1]]))
    begin, longest = _WORD, int(lengths.max())
    while len(tied) and begin < longest:
        rows = order[tied]
        words = _words(data, starts[rows], lengths[rows], begin)
        inner = np.lexsort((words, group))
        order[tied], words = rows[inner], words[inner]
        same = np.concatenate([[False], (words[1:] == words[:-1]) & (group[1:] == group[:-1])])
        tied, group = _ties(tied, same)
        begin += _WORD
    if len(tied):
        # Absent bytes counted as zeros: of two that agree in this, the shorter one comes first.
        rows = order[tied]
        order[tied] = rows[np.lexsort((lengths[rows], group))]
    return order


def is_ascending(values: Any) -> bool:
    """Whether no value is less than the one before it."""
    if len(values) < 2:
        return True
    return bool(pc.all(pc.less_equal(values[:-1], values[1:])).as_py())


def bytes_of(values: Any) -> tuple[Any, Any]:
    """Of a string or binary array where each value begins and the last one ends, in all bytes as a numpy array."""
    _valid, offsets, data = values.buffers()
    starts = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return starts.astype(np.int64), np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)


def _shared(values: Any) -> int:
    """How many bytes all values begin with alike."""
    bounds: Any = pc.min_max(values.cast(pa.binary()))
    first, last = bounds["min"].as_py(), bounds["max"].as_py()
    return next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


def _words(data: Any, starts: Any, lengths: Any, begin: int) -> Any:
    """Of each value the eight bytes from `begin` on as a number that compares as they do; behind the end are zeros."""
    words = np.zeros(len(starts), np.uint64)
    for place in range(begin, begin + _WORD):
        has = lengths > place
        bytes_here = data[np.where(has, starts + place, 0)] if len(data) else np.zeros(len(starts), np.uint8)
        words = (words << np.uint64(8)) | np.where(has, bytes_here, 0).astype(np.uint64)
    return words


def _ties(places: Any, same: Any) -> tuple[Any, Any]:
    """Of neighbours, each with whether it agrees with the one before, those that agree with any; and their groups."""
    agrees = same | np.append(same[1:], [False])
    return places[agrees], np.cumsum(~same)[agrees]
