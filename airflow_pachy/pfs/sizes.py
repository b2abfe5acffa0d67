"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

from airflow_pachy.errors import InvalidArgument

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?:(?P<unit>[kmgtp])(?P<binary>i)?)?b?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(size: int | str) -> int:
    """Bytes from a number or a text like "1.5G": K, M, G, T and P are powers of 1000, Ki and so on of 1024."""
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if match is None:
        raise InvalidArgument(f"{size!r} is not a size: write a number of bytes, or one with a unit, as in '100M'")
    base = 1024 if match["binary"] else 1000
    return int(float(match["number"]) * base ** _POWERS.get((match["unit"] or "").lower(), 0))
