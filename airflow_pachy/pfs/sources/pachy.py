"""`pfs://repo/branch/path`: files of this root, by reference, or of another root, whose bytes are read.

With options (`storage`, `metadata`, `s3`, `principal`) another root is meant; a connection in the URL (`pfs://conn@repo/...`)
is for whoever can look it up, the hook and the command line, to turn into these.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.address import Address, parse_address
from airflow_pachy.pfs.edits import CopyPath, PutContents
from airflow_pachy.pfs.files import Files
from airflow_pachy.pfs.paths import below, join_path, shown_path
from airflow_pachy.pfs.sources.requests import Found, Request, put_many, put_one
from airflow_pachy.pfs.tree import Directory
from airflow_pachy.pfs.tree.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.content import ContentReader
    from airflow_pachy.pfs.tree import Tree

FORM = "pfs://repo/branch/path"


def put(request: Request) -> None:
    """Put a file or, with `recursive`, everything below a directory of another branch, repo or root."""
    source = address_of(request.url)
    options = request.take("storage", "metadata", "s3", "principal")
    if not options:
        if "@" in request.url.partition("://")[2].partition("/")[0]:
            raise InvalidArgument(
                f"{request.url!r} names an Airflow connection, which only the hook and `pachy put file --conn-id` look "
                f"up; write {FORM} for a file of this root, or give storage and metadata as options"
            )
        _put_references(request, source)
        return
    from airflow_pachy.pfs.client import Pfs

    with Pfs.open(**options) as other:
        _put_bytes(request, source, other.tree(str(source.commit)), other.content_reader)


def address_of(url: str) -> Address:
    """The address that a URL means. Raises `InvalidArgument`."""
    host, _, rest = url.partition("://")[2].partition("/")
    repo, (branch, _, path) = host.rpartition("@")[2], rest.partition("/")
    if not repo or not branch:
        raise InvalidArgument(f"{url!r} names no branch; write {FORM}")
    return parse_address(f"{repo}@{branch}:/{path}")


def _put_references(request: Request, source: Address) -> None:
    tree = request.puts.files_at(source)
    entries = _entries(request, Files(tree, str(source.commit), request.puts.root.reader), source)
    target, origin = request.address.path or "", source.path or ""
    if request.split is not None:
        with request.puts.root.reader.open(entries[0].content) as stream:
            put_one(request, stream)
        return
    if request.append:
        with request.puts.new_writer() as writer:
            edit = CopyPath(origin, target, entries, True, writer, request.puts.root.reader)
            request.puts.apply(request.address, edit)
    else:
        moved = [_moved(entry, join_path(target, below(entry.path, origin))) for entry in entries]
        request.puts.apply(request.address, PutContents(moved))
    request.told.add(len(entries), sum(entry.content.size_bytes for entry in entries))


def _put_bytes(request: Request, source: Address, tree: Tree, reader: ContentReader) -> None:
    entries = _entries(request, Files(tree, str(source.commit), reader), source)
    if not request.recursive:
        with reader.open(entries[0].content) as stream:
            put_one(request, stream, executable=entries[0].executable)
        return
    put_many(request, _found(entries, source.path or "", reader))


def _found(entries: list[Entry], origin: str, reader: ContentReader) -> Iterator[Found]:
    for entry in entries:
        name = below(entry.path, origin) or entry.path.rpartition("/")[2]
        yield Found(name, partial(reader.open, entry.content), entry.executable, entry.mtime_us)


def _entries(request: Request, files: Files, source: Address) -> list[Entry]:
    """The file at the source, or with `recursive` the files below it."""
    path = source.path or ""
    node = files.node(path)
    if not isinstance(node, Directory):
        return [node.entry]
    if not request.recursive:
        raise InvalidArgument(f"{files.commit}:{shown_path(path, directory=True)} is a directory; put it recursively")
    return list(files.tree.entries(f"{path}/" if path else ""))


def _moved(entry: Entry, path: str) -> Entry:
    return Entry(path, entry.content, entry.executable, None, entry.mtime_us)
