"""What a handler of URLs is asked, and the two things that all of them do: put one stream, or many at once."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from airflow_pachy.errors import InvalidArgument, PathNotFound
from airflow_pachy.pfs.edits import CopyPath, PutContents, now_us
from airflow_pachy.pfs.paths import clean_path, join_path
from airflow_pachy.pfs.piles import EntryPile
from airflow_pachy.pfs.sources import PARALLEL
from airflow_pachy.pfs.tree.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.content import ContentWriter
    from airflow_pachy.pfs.puts import Puts
    from airflow_pachy.pfs.splitting import Split
    from airflow_pachy.pfs.uploads import Told


@dataclass(frozen=True, slots=True)
class Request:
    """Put `url` at `address`. `options` are the credentials and settings of its scheme, already resolved."""

    puts: Puts
    address: Address
    url: str
    recursive: bool
    append: bool
    told: Told
    options: Mapping[str, Any] = field(default_factory=dict)
    parallel: int = PARALLEL
    split: Split | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The URL for messages: without user, password and query, which may be secrets."""
        return shown_url(self.url)

    def take(self, *known: str) -> dict[str, Any]:
        """The options; raises `InvalidArgument` for one that is not among the known."""
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise InvalidArgument(
                f"cannot put {self.shown} with option {unknown[0]!r}; options for it are {', '.join(sorted(known))}"
            )
        return dict(self.options)


@dataclass(frozen=True, slots=True)
class Found:
    """A file at the source: its path below what was asked for, and how to read it."""

    path: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    executable: bool = False
    mtime_us: int = 0


def shown_url(url: str) -> str:
    """A URL without what may be secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?...' if parts.query else ''}"


def put_one(request: Request, stream: BinaryIO, *, executable: bool | None = None) -> None:
    """Put a stream as the file at the request's address, or split it below there."""
    counted = request.told.reading(stream)
    if request.split is not None:
        request.puts.put_split(request.address, counted, request.split, request.labels)
    else:
        request.puts.put_file(
            request.address, counted, append=request.append, executable=executable, labels=request.labels
        )
    request.told.add(1, 0)


def put_many(request: Request, found: Iterable[Found]) -> None:
    """Put files below the request's address, several at a time, in one commit; raises `PathNotFound` without any."""
    target = request.address.path or ""
    with request.puts.new_writer() as writer:
        root = request.puts.root
        entries = EntryPile(root.tree(None))
        for entry in stored(request, found, writer):
            entries.add(replace(entry, path=join_path(target, entry.path)))
        if not entries:
            raise PathNotFound(f"there is no file below {request.shown}; check the address")
        writer.flush()
        if request.append:
            request.puts.apply(request.address, CopyPath("", "", entries, True, writer, root.reader), request.labels)
        else:
            request.puts.apply(request.address, PutContents(entries), request.labels)


def stored(request: Request, found: Iterable[Found], writer: ContentWriter) -> Iterator[Entry]:
    """Files with their contents in the store, by the paths and in the order found; some are read ahead, never all."""

    def store(one: Found) -> Entry:
        path = clean_path(one.path)
        with one.open() as stream:
            content = writer.write(request.told.reading(stream))
        request.told.add(1, 0)
        return Entry(path, content, one.executable, None, one.mtime_us or now_us())

    waiting: deque[Future[Entry]] = deque()
    with ThreadPoolExecutor(max(1, request.parallel), "put-url") as pool:
        remaining = iter(found)
        try:
            for one in islice(remaining, 4 * max(1, request.parallel)):
                waiting.append(pool.submit(store, one))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(store, one) for one in islice(remaining, 1))
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
