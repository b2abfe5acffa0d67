"""Where an archive is written to and read from: a tar file, or below a URL of an object store.

Either holds the same members under the same names, so that an archive in a bucket can be downloaded and packed, or the
other way round. `docs/spec/archive-1.md` describes them.
"""

from __future__ import annotations

import io
import tarfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_pachy.errors import AlreadyExists, Corrupt, InvalidArgument
from airflow_pachy.pfs.objects import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from airflow_pachy.pfs.objects.store import ObjectStore

READS = 4
HEADER = "pachy-archive.json"
TRAILER = "end.json"
Member = tuple[str, bytes]


class Sink(Protocol):
    """Takes members, in their order."""

    def write(self, name: str, body: bytes) -> None:
        """Add one member."""
        ...


class _Tar:
    """Members of a tar file."""

    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file

    def write(self, name: str, body: bytes) -> None:
        """Add one member, whole."""
        info = tarfile.TarInfo(name)
        info.size = len(body)
        self._file.addfile(info, io.BytesIO(body))


class _Below:
    """Members as objects."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def write(self, name: str, body: bytes) -> None:
        """Put one object."""
        self._store.put(name, body)


@contextmanager
def open_sink(target: Path | str, s3: Mapping[str, Any]) -> Iterator[Sink]:
    """A new archive. Raises `AlreadyExists`; a tar file is under its name when the block has ended well, or never."""
    if isinstance(target, Path):
        if target.exists():
            raise AlreadyExists(f"{target} exists already; name a new file, or remove it first")
        partial = target.with_name(f"{target.name}.partial")
        try:
            with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as file:
                yield _Tar(file)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
        return
    store = open_store(target, s3=_s3_for(target, s3))
    try:
        if next(iter(store.list_keys()), None) is not None:
            raise AlreadyExists(f"there are objects below {target} already; name an empty place")
        yield _Below(store)
    finally:
        store.close()


@contextmanager
def open_source(source: Path | str, s3: Mapping[str, Any]) -> Iterator[Iterator[Member]]:
    """The members of an archive, in their order: header, metadata, objects, trailer. Raises `Corrupt`."""
    if isinstance(source, Path):
        try:
            with tarfile.open(source, "r|") as file:
                yield _tar_members(file, source)
        except tarfile.TarError as error:
            raise Corrupt(f"{source} is not an archive, or was cut short ({error}): make it again") from error
        return
    store = open_store(source, s3=_s3_for(source, s3))
    try:
        yield _stored_members(store)
    finally:
        store.close()


def as_place(place: Path | str) -> Path | str:
    """A path, or a URL of an object store. Raises `InvalidArgument`."""
    if isinstance(place, str) and "://" not in place:
        return Path(place)
    if isinstance(place, str) and place.partition("://")[0] not in {"s3", "file", "memory"}:
        raise InvalidArgument(f"{place!r} cannot hold an archive; use a path, or s3://bucket/prefix or file:///dir")
    return place


def _s3_for(url: str, s3: Mapping[str, Any]) -> Mapping[str, Any]:
    return s3 if url.startswith("s3://") else {}


def _tar_members(file: tarfile.TarFile, source: Path) -> Iterator[Member]:
    for info in file:
        body = file.extractfile(info)
        data = body.read() if body is not None else b""
        if len(data) != info.size:
            raise Corrupt(f"{source} was cut short in {info.name}: make it again")
        yield info.name, data


def _stored_members(store: ObjectStore) -> Iterator[Member]:
    def names() -> Iterator[str]:
        yield HEADER
        yield from (info.key for info in store.list_keys("metadata/"))
        yield from (info.key for info in store.list_keys("objects/"))
        yield TRAILER

    yield from fetch(store.get, names())


def fetch(get: Callable[[str], bytes], names: Iterable[str]) -> Iterator[Member]:
    """Objects in the order of their names, a few of them on their way at any time."""
    with ThreadPoolExecutor(READS, thread_name_prefix="archive") as pool:
        coming: deque[tuple[str, Future[bytes]]] = deque()
        for name in names:
            coming.append((name, pool.submit(get, name)))
            if len(coming) > READS:
                first, future = coming.popleft()
                yield first, future.result()
        for name, future in coming:
            yield name, future.result()
