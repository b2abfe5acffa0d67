"""A root made of an archive. Objects come first, then all rows in one transaction: until then there is nothing to see.

A restore that was interrupted is begun again with the same archive: objects that arrived already are not written
twice. A root in which there is anything else is left alone.
"""

from __future__ import annotations

import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from airflow_pachy.errors import Conflict, Corrupt, ObjectNotFound, StoreUnfit
from airflow_pachy.metadata.models import Base
from airflow_pachy.pfs import format as storage_format
from airflow_pachy.pfs.rows import row_values
from airflow_pachy.pfs.upkeep.archive import HEADER, READS, TRAILER, open_source
from airflow_pachy.pfs.upkeep.extract import VERSION, ArchiveInfo, Digest
from airflow_pachy.pfs.upkeep.marking import silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path
    from typing import IO

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.archive import Member
    from airflow_pachy.pfs.upkeep.marking import Progress

# Which archive is being restored here: its objects may be there before its rows are.
MARKER = "probe/restoring.json"
_IN_MEMORY = 16 << 20
_INSERTS = 1000


def restore(root: Root, source: Path | str, *, progress: Progress = silent) -> ArchiveInfo:
    """Fill an empty root. Raises `Conflict` if it is not empty, `Corrupt` for an archive that is not whole."""
    with open_source(source, root.s3) as members, SpooledTemporaryFile(_IN_MEMORY) as rows:
        run = _Restore(root, str(source), rows, progress)
        for member in members:
            run.take(member)
        return run.finish()


@dataclass(slots=True)
class _Restore:
    root: Root
    source: str
    rows: IO[bytes]
    progress: Progress
    digest: Digest = field(default_factory=Digest)
    header: dict[str, Any] | None = None
    info: ArchiveInfo | None = None
    resumed: set[str] = field(default_factory=set)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READS, thread_name_prefix="restore"))
    coming: deque[Future[None]] = field(default_factory=deque)

    def take(self, member: Member) -> None:
        """One member, in the order of the archive."""
        name, body = member
        if name == TRAILER:
            self.info = ArchiveInfo(**json.loads(body))
            return
        self.digest.add(name, body)
        if name == HEADER:
            self._begin(json.loads(body))
        elif self.header is None:
            raise Corrupt(f"{self.source} does not begin with {HEADER}: it is no archive of airflow_pachy")
        elif name.startswith("metadata/"):
            table = name.split("/")[1].partition("-")[2]
            self.rows.write(json.dumps({"table": table, "lines": body.count(b"\n")}).encode() + b"\n" + body)
        elif name.startswith("objects/"):
            self._put(name.removeprefix("objects/"), body)

    def _begin(self, header: dict[str, Any]) -> None:
        if header.get("archive") != VERSION or header.get("storage_format") != storage_format.VERSION:
            raise StoreUnfit(
                f"{self.source} is an archive of version {header.get('archive')} with storage format "
                f"{header.get('storage_format')}; this version of airflow-provider-pachy reads {VERSION} and "
                f"{storage_format.VERSION}. Install the version that made it, or a later one"
            )
        with self.root.metadata.reader() as session:
            for table in Base.metadata.sorted_tables:
                if session.execute(select(table).limit(1)).first() is not None:
                    raise Conflict(
                        f"the database {self.root.metadata.url} is not empty ({table.name} has rows); "
                        "an archive is restored into an empty one only"
                    )
        if header["objects"]:
            self._claim(header["id"])
        self.header = header

    def _claim(self, archive: str) -> None:
        store = self.root.store
        try:
            begun = json.loads(store.get(MARKER))["id"]
        except ObjectNotFound:
            begun = None
        there = {info.key for info in store.list_keys()} - {storage_format.KEY, MARKER}
        if there and begun != archive:
            raise Conflict(
                f"{store.url} is not empty (it has {min(there)}); an archive is restored into an empty root only"
            )
        self.resumed = there
        store.put(MARKER, json.dumps({"id": archive}).encode())

    def _put(self, key: str, body: bytes) -> None:
        self.progress("restore", 1)
        if key == storage_format.KEY:
            if self.root.store.get(key) != body:
                raise Conflict(f"{self.root.store.url}/{key} says something else than the archive's")
            return
        if key in self.resumed and self.root.store.head(key).size_bytes == len(body):
            return
        self.coming.append(self.pool.submit(self.root.store.put, key, body))
        while len(self.coming) > READS:
            self.coming.popleft().result()

    def finish(self) -> ArchiveInfo:
        """Everything has arrived: make it visible."""
        for future in self.coming:
            future.result()
        self.pool.shutdown()
        if self.info is None or self.header is None:
            raise Corrupt(f"{self.source} was cut short: it has no {TRAILER}. Make it again")
        if self.info.blake3 != self.digest.hexdigest():
            raise Corrupt(f"{self.source} was changed since it was made: its checksum is another. Make it again")
        with self.root.metadata.session() as session:
            for table, lines in self._pages():
                _insert(session, table, lines)
        if self.header["objects"]:
            self.root.store.delete([MARKER])
        return self.info

    def _pages(self) -> Iterator[tuple[str, list[bytes]]]:
        self.rows.seek(0)
        while head := self.rows.readline():
            page = json.loads(head)
            yield page["table"], [self.rows.readline() for _ in range(page["lines"])]


def _insert(session: Session, name: str, lines: list[bytes]) -> None:
    table = Base.metadata.tables.get(name)
    if table is None:
        raise StoreUnfit(f"the archive has rows of {name}, which this version of airflow-provider-pachy does not know")
    values = [row_values(table, json.loads(line.decode("utf-8", "surrogateescape"))) for line in lines]
    for at in range(0, len(values), _INSERTS):
        session.execute(insert(table), values[at : at + _INSERTS])
