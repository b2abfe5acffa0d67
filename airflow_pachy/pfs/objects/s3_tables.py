"""botocore's tables of S3, cut down to what our client does, and kept in the user's cache.

Reading them whole takes a tenth of a short command: a megabyte of JSON on more than a hundred operations, seven of
which a client needs, and as much again, most of it white space, on addresses. What is kept is of the very files that it
was cut from; where there is nothing, or nothing that can be read, they are read, as botocore does.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

from airflow_pachy.user_cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "s3/2006-03-01/service-2"
RULES = "s3/2006-03-01/endpoint-rule-set-1"
# HeadBucket and CreateSession are for botocore itself: to find out where a bucket is, and for directory buckets.
OPERATIONS = (
    "CreateSession",
    "DeleteObjects",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListObjectsV2",
    "PutObject",
)
_log = logging.getLogger(__name__)


class Tables:
    """What is kept of the tables in one directory of botocore's data, made when both have been read."""

    def __init__(self, data: str, file: Path) -> None:
        self._data = data
        self._file = file
        self._read: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        try:
            with file.open("rb") as opened:
                # They say where requests go: from nobody but the user.
                if os.fstat(opened.fileno()).st_uid == os.getuid():
                    kept = json.loads(opened.read())
                    self._kept = kept["tables"] if kept["of"] == self._sources() else {}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, LookupError, TypeError) as error:
            _log.debug("the tables of S3 that %s keeps cannot be read: %s", file, error)

    @classmethod
    def of_user(cls, data: str) -> Tables | None:
        """In the cache of the user, where there is one."""
        cache = cache_directory(os.environ)
        return None if cache is None else cls(data, cache / "s3-tables.json")

    def get(self, name: str) -> Any:
        """A table for one client to change as it likes; None if it is not kept."""
        return self._kept.pop(name, None)

    def take(self, name: str, table: Any) -> None:
        """Keep a table that was read, once it has all of them."""
        if name not in {SERVICE, RULES}:
            return
        self._read[name] = cut(table) if name == SERVICE else table
        if len(self._read) < 2:
            return
        partial = self._file.with_name(f".{self._file.name}-{os.urandom(8).hex()}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            document = {"of": self._sources(), "tables": self._read}
            try:
                partial.write_text(json.dumps(document, separators=(",", ":")))
                partial.replace(self._file)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            _log.debug("the tables of S3 are not kept in %s: %s", self._file, error)

    def _sources(self) -> list[Any]:
        """What tells the files from those of another botocore, or of another version of ours."""
        found: list[Any] = [list(OPERATIONS), self._data]
        for name in (SERVICE, RULES):
            for end in (".json", ".json.gz"):
                try:
                    status = os.stat(f"{self._data}/{name}{end}")  # noqa: PTH116 - making a Path takes longer than the look
                except FileNotFoundError:
                    continue
                found.append([name + end, status.st_size, status.st_mtime_ns])
        return found


def cut(service: Any) -> dict[str, Any]:
    """The description of a service with what our client needs of it, without documentation."""
    operations = {name: _plain(service["operations"][name]) for name in OPERATIONS if name in service["operations"]}
    shapes: dict[str, Any] = {}
    left = list(_shapes_in(operations))
    while left:
        name = left.pop()
        if name not in shapes:
            shapes[name] = _plain(service["shapes"][name])
            left.extend(_shapes_in(shapes[name]))
    return {**service, "operations": operations, "shapes": shapes, "documentation": ""}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _plain(below)
            for key, below in value.items()
            if key != "documentation" or not isinstance(below, str)  # else a member of that name
        }
    return [_plain(below) for below in value] if isinstance(value, list) else value


def _shapes_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("shape"), str):
            yield value["shape"]
        for below in value.values():
            yield from _shapes_in(below)
    elif isinstance(value, list):
        for below in value:
            yield from _shapes_in(below)
