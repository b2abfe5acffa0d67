"""What `-f` of `pachy put file` may name, and where in the repo each of it goes.

A single file goes to the path as given, or into it when the path ends in `/` (or is not given). Several
files go below the path. The contents of a directory go below the path, as with `rsync dir/ path/`.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from airflow_pachy.errors import InvalidArgument, PathNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "-"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to put, and its path in the repo. `size_bytes` is known for local files only."""

    kind: Literal["file", "directory", "url", "stdin"]
    origin: str
    path: str
    size_bytes: int | None = None


def read_list(path: str) -> list[str]:
    """The sources named in a file or, for `-`, in standard input: one per line, a path or a URL.

    Blank lines and lines that start with `#` are skipped.
    """
    try:
        lines = read_bytes(path, "-i").decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            f"the list of sources {path} is not UTF-8 text ({error}); check the argument of -i"
        ) from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def read_bytes(path: str, option: str = "-f") -> bytes:
    """A whole local file, or standard input for `-`. Raises `PathNotFound` naming the option."""
    try:
        return sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise PathNotFound(f"cannot read {path}: {error.strerror}; check the argument of {option}") from error


def find_sources(origins: Sequence[str], target: str, *, recursive: bool) -> list[Source]:
    """Each thing to put for these origins, at its path below (or at) `target`, a path in the repo.

    Raises `PathNotFound` for a local path that is not there, `InvalidArgument` for a directory without `recursive`
    and for standard input without a path to give it.
    """
    below = target.endswith("/") or target == "" or len(origins) > 1
    return [_source(origin, target, recursive=recursive, below=below) for origin in origins]


def _source(origin: str, target: str, *, recursive: bool, below: bool) -> Source:
    if origin == STDIN:
        if below:
            msg = f"standard input has no name; give it one instead of {target or '/'!r}, as in repo@master:/notes.txt"
            raise InvalidArgument(msg)
        return Source("stdin", origin, target)
    if _URL.match(origin):
        path = target or "/" if recursive or not below else _join(target, _url_name(origin))
        return Source("url", origin, path)
    local = Path(origin)
    if local.is_dir():
        if not recursive:
            raise InvalidArgument(f"{origin} is a directory; add -r to put all files in it")
        return Source("directory", origin, target or "/")
    if not local.exists():
        raise PathNotFound(f"there is no file or directory {origin} here (in {Path.cwd()}); check -f")
    return Source("file", origin, _join(target, local.name) if below else target, local.stat().st_size)


def _url_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if not name:
        raise InvalidArgument(f"{url} ends in no file name; give the path to store it at, as in repo@master:/page.html")
    return name


def _join(target: str, name: str) -> str:
    return f"{target.rstrip('/')}/{name}"
