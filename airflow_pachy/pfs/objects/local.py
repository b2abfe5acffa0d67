"""A store in a directory: for laptops and tests on one machine (or a shared POSIX file system).

Objects are files; a write goes to a temporary file first and appears under its name in one step (`rename`, or `link`
for create-only writes, which exactly one of several racing writers wins). Nothing is fsynced: an operating system
crash may lose the last seconds, a crash of the process loses nothing. Unlike S3, an object cannot be named like the
first segments of another (`a` and `a/b`); none of our keys are.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from airflow_pachy.errors import ObjectExists, ObjectNotFound, StoreDenied, StoreUnavailable, StoreUnfit
from airflow_pachy.pfs.objects.keys import check_key
from airflow_pachy.pfs.objects.store import ObjectInfo
from airflow_pachy.pfs.objects.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_TEMPORARY = ".incoming"
_PLAIN = " !#$&'()+,;=@[]^_`{}~-"
_LONGEST_NAME = 255


class LocalStore:
    """Objects as files below `root`, which is created when the first object is written."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def url(self) -> str:
        """`file://<absolute path>`."""
        return self._root.as_uri()

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object; raises `ObjectNotFound`."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                if offset:
                    file.seek(offset)
                return _read(file.fileno(), length)
        except OSError as error:
            raise self._translate(error, key) from error

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Write a file and move it into place."""
        path = self._path(key)
        try:
            self._place(path, body, key, if_absent=if_absent)
        except OSError as error:
            if isinstance(error, ObjectExists):
                raise
            raise self._translate(error, key, writing=True) from error

    def head(self, key: str) -> ObjectInfo:
        """Size and modification time of a file; raises `ObjectNotFound`."""
        try:
            found = self._path(key).stat()
        except OSError as error:
            raise self._translate(error, key) from error
        if stat.S_ISDIR(found.st_mode):
            raise ObjectNotFound(f"{self.url}/{key} does not exist")
        return _info(key, found)

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Walk the directory tree in key order, entering only what can hold keys of the range."""
        yield from self._walk(self._root, "", prefix, after or "")

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files; directories that became empty stay."""
        for key in keys:
            try:
                self._path(key).unlink(missing_ok=True)
            except NotADirectoryError:
                continue  # a shorter key is an object, so this one cannot exist
            except IsADirectoryError:
                continue
            except OSError as error:
                raise self._translate(error, key) from error

    def close(self) -> None:
        """Nothing to release."""

    def _place(self, path: Path, body: bytes | bytearray | memoryview, key: str, *, if_absent: bool) -> None:
        temporary = self._root / _TEMPORARY / new_ulid()
        try:
            handle = _create(temporary)
        except FileNotFoundError:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            handle = _create(temporary)
        try:
            try:
                _write(handle, body)
            finally:
                os.close(handle)
            move = os.link if if_absent else os.replace
            try:
                move(temporary, path)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                move(temporary, path)
            except FileExistsError as error:
                raise ObjectExists(f"{self.url}/{key} exists already; it was to be created") from error
        finally:
            temporary.unlink(missing_ok=True)

    def _walk(self, directory: Path, above: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(directory) as found:
                names = [(_decode(item.name), item) for item in found if item.name != _TEMPORARY]
                items = sorted((f"{name}/" if item.is_dir() else name, item) for name, item in names)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._translate(error, above) from error
        for name, item in items:
            key = above + name
            if not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if name.endswith("/"):
                if key >= after or after.startswith(key):
                    yield from self._walk(directory / item.name, key, prefix, after)
            elif key.startswith(prefix) and key > after:
                try:
                    yield _info(key, item.stat())
                except FileNotFoundError:
                    continue  # deleted while we were listing

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*map(_encode, check_key(key).split("/")))

    def _translate(self, error: OSError, key: str, *, writing: bool = False) -> Exception:
        where = f"{self.url}/{key}"
        if writing and not self._root.is_dir():
            return StoreUnfit(
                f"{self.url} cannot be made a directory ({error.strerror or error}); "
                "choose another one for the storage, or remove what is in its way"
            )
        if isinstance(error, IsADirectoryError | NotADirectoryError) and writing:
            return StoreUnfit(
                f"{where}: a directory store cannot hold an object whose key is the beginning of another's"
            )
        if isinstance(error, IsADirectoryError | NotADirectoryError | FileNotFoundError):
            return ObjectNotFound(f"{where} does not exist")
        if isinstance(error, PermissionError):
            return StoreDenied(f"{where}: {error.strerror}; give this user rights on the directory, or choose another")
        return StoreUnavailable(f"{where}: {error.strerror or error}; check the disk's space and state")


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _write(handle: int, body: bytes | bytearray | memoryview) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(handle, left) :]


def _read(handle: int, length: int | None) -> bytes:
    size = max(0, os.fstat(handle).st_size - os.lseek(handle, 0, os.SEEK_CUR))
    wanted = size if length is None else min(length, size)
    parts: list[bytes] = []
    while wanted > 0 and (part := os.read(handle, wanted)):
        parts.append(part)
        wanted -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _encode(segment: str) -> str:
    # `.` and `..` mean something to the file system, and a leading dot is ours (`.incoming`).
    name = quote(segment, safe=_PLAIN)
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(name) > _LONGEST_NAME:
        raise StoreUnfit(f"{segment[:40]!r}... is too long for a file name; a directory store cannot hold this key")
    return name


def _decode(name: str) -> str:
    return unquote(name)
