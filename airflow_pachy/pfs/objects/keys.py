"""What a key may be, checked once for all stores."""

from __future__ import annotations

from airflow_pachy.errors import InvalidArgument


def check_key(key: str) -> str:
    """Return `key`, or raise `InvalidArgument` if it has an empty segment or a slash at either end."""
    if not key or key.startswith("/") or key.endswith("/") or "//" in key or "\0" in key:
        raise InvalidArgument(
            f"{key!r} is not an object key: give segments separated by single slashes, without one at either end"
        )
    return key
