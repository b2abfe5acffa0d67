"""Where one node ends and the next begins: decided by the keys alone, so that trees do not remember their history.

After the last cut the first T/4 keys never end a node (T is the target). Up to T a key ends it if the low
log2(T) + 2 bits of its hash are zero, beyond T if the low log2(T) - 2 bits are, at 4T it ends in any case. The two
thresholds keep nearly all nodes between T/4 and 2T; a plain geometric rule would give nodes a thousand times apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Node sizes; both targets are powers of two, at least 4. Fixed by the storage format, smaller only in tests."""

    leaf_target: int = 16_384
    inner_target: int = 512

    def target(self, level: int) -> int:
        """Rows a node of this level aims for (0 is a leaf)."""
        return self.leaf_target if level == 0 else self.inner_target


FORMAT_1 = Layout()


def hash_keys(keys: Iterable[bytes], level: int, count: int) -> Hashes:
    """xxh3_64 of each key (UTF-8 bytes) with the level as seed."""
    return np.fromiter(map(xxh3_64_intdigest, keys, repeat(level)), dtype=np.uint64, count=count)


def find_cuts(hashes: Hashes, target: int) -> list[int]:
    """Ends (exclusive) of the nodes that are complete, ascending; rows after the last one are still open.

    The first hash belongs to the first key after a cut.
    """
    bits = target.bit_length() - 1
    rare = np.flatnonzero(hashes & np.uint64((1 << bits + 2) - 1) == 0) + 1
    common = np.flatnonzero(hashes & np.uint64((1 << max(bits - 2, 0)) - 1) == 0) + 1
    cuts: list[int] = []
    start, size = 0, len(hashes)
    while start < size:
        cut = _first(rare, start + target // 4 + 1, start + target)
        if cut is None:
            cut = _first(common, start + target + 1, start + 4 * target)
        if cut is None:
            cut = start + 4 * target
        if cut > size:
            break
        cuts.append(cut)
        start = cut
    return cuts


def _first(ends: npt.NDArray[np.int64], low: int, high: int) -> int | None:
    """The first of `ends` in `[low, high]`."""
    found = int(np.searchsorted(ends, low))
    return int(ends[found]) if found < len(ends) and ends[found] <= high else None
