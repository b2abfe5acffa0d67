"""Everything of a root in one archive: the database's rows, and the objects that they need.

The rows are read in one transaction that sees one state; objects of that state are not deleted while the archive is
written, since garbage collection leaves what was removed alone for longer than that takes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from blake3 import blake3
from sqlalchemy import select

from airflow_pachy.metadata.models import Base, RemovedTree, Standing, StoredObject
from airflow_pachy.pfs import format as storage_format
from airflow_pachy.pfs.objects import new_ulid
from airflow_pachy.pfs.rows import row_document
from airflow_pachy.pfs.upkeep.archive import HEADER, TRAILER, fetch, open_sink
from airflow_pachy.pfs.upkeep.keepers import all_keepers
from airflow_pachy.pfs.upkeep.ledger import Ledger
from airflow_pachy.pfs.upkeep.marking import Marker, silent
from airflow_pachy.pfs.upkeep.roots import mark_commits, mark_waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Table

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.archive import Sink
    from airflow_pachy.pfs.upkeep.marking import Progress

VERSION = 1
_ROWS = 5_000
# What belongs to the place a root is in, and not to the root.
_LEFT_OUT = frozenset({StoredObject.__tablename__, RemovedTree.__tablename__, Standing.__tablename__})


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """What an archive holds. `blake3` is the checksum of all of it."""

    id: str
    rows: int
    objects: int
    object_bytes: int
    blake3: str


class Digest:
    """The checksum of an archive: over every member's name, size and body, in their order."""

    def __init__(self) -> None:
        self._hasher = blake3()

    def add(self, name: str, body: bytes) -> None:
        """Take one more member in."""
        self._hasher.update(f"{name}\n{len(body)}\n".encode())
        self._hasher.update(body)

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._hasher.hexdigest()


def extract(root: Root, target: Path | str, *, objects: bool = True, progress: Progress = silent) -> ArchiveInfo:
    """Write an archive. Raises `AlreadyExists`, `Corrupt` when something that is needed cannot be read."""
    with open_sink(target, root.s3) as sink:
        writing = _Writing(sink, Digest(), progress)
        header = {
            "archive": VERSION,
            "id": new_ulid(),
            "created": datetime.now(UTC).isoformat(),
            "storage_format": storage_format.VERSION,
            "storage": root.store.url,
            "objects": objects,
        }
        writing.add(HEADER, json.dumps(header, indent=1).encode())
        rows = _write_rows(root, writing)
        found, size = _write_objects(root, writing) if objects else (0, 0)
        info = ArchiveInfo(str(header["id"]), rows, found, size, writing.digest.hexdigest())
        sink.write(TRAILER, json.dumps(asdict(info), indent=1).encode())
        return info


@dataclass(frozen=True, slots=True)
class _Writing:
    sink: Sink
    digest: Digest
    progress: Progress

    def add(self, name: str, body: bytes) -> None:
        self.digest.add(name, body)
        self.sink.write(name, body)


def _write_rows(root: Root, writing: _Writing) -> int:
    """Pages of rows as JSON lines, tables in the order in which they can be inserted."""
    count = 0
    with root.metadata.snapshot() as session:
        for place, table in enumerate(Base.metadata.sorted_tables):
            if table.name in _LEFT_OUT:
                continue
            query = select(table).order_by(*table.primary_key).execution_options(yield_per=_ROWS)
            for number, page in enumerate(session.execute(query).mappings().partitions()):
                rows = [cast("Mapping[str, Any]", row) for row in page]
                body = "".join(_line(table, row) for row in rows).encode("utf-8", "surrogateescape")
                writing.add(f"metadata/{place:02d}-{table.name}/{number:06d}.jsonl", body)
                writing.progress("rows", len(rows))
                count += len(rows)
    return count


def _line(table: Table, row: Mapping[str, Any]) -> str:
    return json.dumps(row_document(table, row), ensure_ascii=False, separators=(",", ":")) + "\n"


def _write_objects(root: Root, writing: _Writing) -> tuple[int, int]:
    count = size = 0
    with Ledger() as ledger, Marker(root.store, ledger, writing.progress) as marker:
        cutoff = datetime.now(UTC) - timedelta(days=1)
        mark_commits(root, marker, cutoff)
        for keeper in all_keepers():
            keeper.mark(root, marker, cutoff)
        # What was removed since the rows were read.
        mark_waiting(root, marker, cutoff)
        for key, body in fetch(root.store.get, _there(root, ledger)):
            writing.add(f"objects/{key}", body)
            writing.progress("copy", 1)
            count += 1
            size += len(body)
    return count, size


def _there(root: Root, ledger: Ledger) -> Iterator[str]:
    """What is needed, and exists (some copies of rows may, but need not), in the order of a listing."""
    for prefix in ("commits/", "deltas/", storage_format.KEY, "jobs/", "nodes/", "packs/", "refs/", "spouts/"):
        for info in root.store.list_keys(prefix):
            if info.key == storage_format.KEY or ledger.state(info.key) is not None:
                yield info.key
