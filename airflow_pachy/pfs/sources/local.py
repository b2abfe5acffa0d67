"""`file:///path`: files of this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow_pachy.errors import InvalidArgument, InvalidPath, PathNotFound
from airflow_pachy.pfs.sources.requests import Request, put_one


def put(request: Request) -> None:
    """Put a file, or with `recursive` everything below a directory."""
    request.take()
    local = Path(_path_of(request.url))
    if not local.exists():
        raise PathNotFound(f"{request.url} does not exist on this machine")
    if request.recursive:
        request.puts.put_directory(
            request.address, local, append=request.append, told=request.told, labels=request.labels
        )
        return
    if local.is_dir():
        raise InvalidPath(f"{request.url} is a directory; put it recursively")
    if request.split is not None:
        with local.open("rb") as stream:
            put_one(request, stream)
        return
    request.puts.put_file(request.address, local, append=request.append, executable=None, labels=request.labels)
    request.told.add(1, local.stat().st_size)


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise InvalidArgument(f"{url!r} names the host {parts.netloc!r}; write file:///path for a file of this machine")
    # A path may hold ? and #, which mean nothing in a file URL that people write.
    return unquote(url.partition("://")[2].removeprefix(parts.netloc))
