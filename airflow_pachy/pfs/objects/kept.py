"""Tree nodes kept in the user's cache, so that each is fetched once by a machine.

A command line is many short processes, and a task of Airflow is one each time: without this, all of them fetch the
same nodes. No name of a node is ever used twice and none is changed, so a copy is never out of date. restic keeps what
corresponds to them in the same way.

A copy begins with its checksum, so that what a crash or a full disk left of it is as good as none. Losing copies costs
requests, nothing else. What checks or collects the bucket does not look here.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_pachy.pfs.objects.store import ObjectInfo, ObjectStore

# Parts of the limit: after how much that was written it is looked at, and what is left when it was passed.
_LOOKS, _LEFT = 1 / 16, 0.8
_DIGEST_BYTES = 32
_FOLDER = "nodes"
_NODE = re.compile(rf"{_FOLDER}/[0-9a-f]{{2}}/[0-9a-f]{{64}}\.[0-9A-Z]{{26}}")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_OTHERS_WRITE = 0o022
_log = logging.getLogger(__name__)


class NodeFiles:
    """Nodes as files in a directory, those that were not used for longest deleted once they are too many bytes.

    For any number of processes and threads. Whatever the system refuses is as if nothing were kept.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        # Of many short processes one in so many looks.
        self._unlooked = max_bytes * _LOOKS * os.urandom(1)[0] / 255

    @classmethod
    def at(cls, directory: Path, max_bytes: int) -> NodeFiles | None:
        """Those in a directory, which is made; None where nothing is to be kept, or where others can write."""
        if max_bytes <= 0:
            return None
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = directory.stat()
        except OSError as error:
            _log.debug("nodes are not kept in %s: %s", directory, error)
            return None
        # They say where contents lie: from nobody but the user.
        if status.st_uid != os.getuid() or status.st_mode & _OTHERS_WRITE:
            _log.debug("nodes are not kept in %s, where others can write", directory)
            return None
        return cls(directory, max_bytes)

    def get(self, key: str) -> bytes | None:
        """The node's object, if it is here whole."""
        if not _NODE.fullmatch(key):
            return None
        path = self._path(key)
        try:
            with path.open("rb", buffering=0) as file:
                digest, body = file.read(_DIGEST_BYTES), file.read()
                if blake3(body).digest() == digest:
                    with suppress(OSError):  # as where it can be read only
                        os.utime(file.fileno())  # it was used
                    return body
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.debug("the node in %s cannot be read: %s", path, error)
            return None
        self.discard(key)
        return None

    def put(self, key: str, body: bytes | bytearray | memoryview) -> None:
        """Keep a node."""
        if not _NODE.fullmatch(key):
            return
        path = self._path(key)
        partial = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
        try:
            try:
                handle = os.open(partial, _NEW_FILE, 0o600)
            except FileNotFoundError:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = os.open(partial, _NEW_FILE, 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(blake3(body).digest())
                    file.write(body)
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            _log.debug("a node is not kept in %s: %s", path, error)
            return
        self._unlooked -= len(body)
        if self._unlooked < 0:
            self._unlooked = self._max_bytes * _LOOKS
            self.prune()

    def discard(self, key: str) -> None:
        """Let go of a node."""
        if _NODE.fullmatch(key):
            with suppress(OSError):
                self._path(key).unlink()

    def prune(self) -> None:
        """Delete what was not used for longest, if all is more than it may be."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total <= self._max_bytes:
            return
        for _, size, path in files:
            if total <= self._max_bytes * _LEFT:
                return
            with suppress(OSError):
                Path(path).unlink()
            total -= size

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """When each file was used, in ns, its bytes, its path."""
        try:
            with os.scandir(self._directory) as folders:
                for folder in folders:
                    if not folder.is_dir(follow_symlinks=False):
                        continue
                    with os.scandir(folder.path) as files:
                        for file in files:
                            with suppress(FileNotFoundError):  # another process was faster
                                status = file.stat(follow_symlinks=False)
                                yield status.st_mtime_ns, status.st_size, file.path
        except OSError as error:
            _log.debug("the nodes kept in %s cannot be listed: %s", self._directory, error)

    def _path(self, key: str) -> Path:
        return self._directory / key.removeprefix(f"{_FOLDER}/")


class KeptStore:
    """A store that nodes are read from and written to, with copies of them in files."""

    def __init__(self, store: ObjectStore, files: NodeFiles) -> None:
        self.inner = store
        self._files = files

    @property
    def url(self) -> str:
        """Of the store inside."""
        return self.inner.url

    def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """From a copy if there is one, else from the store inside."""
        if offset or length is not None:
            return self.inner.get(key, offset=offset, length=length)
        body = self._files.get(key)
        if body is None:
            body = self.inner.get(key)
            self._files.put(key, body)
        return body

    def put(self, key: str, body: bytes | bytearray | memoryview, *, if_absent: bool = False) -> None:
        """Into the store inside, then keep a copy."""
        self.inner.put(key, body, if_absent=if_absent)
        self._files.put(key, body)

    def discard(self, key: str) -> None:
        """Let go of the copy, which cannot be what it should be."""
        self._files.discard(key)

    def head(self, key: str) -> ObjectInfo:
        """Of the store inside."""
        return self.inner.head(key)

    def list_keys(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Of the store inside."""
        return self.inner.list_keys(prefix, after=after)

    def delete(self, keys: Iterable[str]) -> None:
        """In the store inside, and the copies."""
        gone = list(keys)
        self.inner.delete(gone)
        for key in gone:
            self._files.discard(key)

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()


def with_copies(store: ObjectStore, cache: Path, max_bytes: int) -> ObjectStore:
    """The store to read and write nodes with: with copies in the user's cache, if there can be any."""
    files = NodeFiles.at(cache / _FOLDER, max_bytes)
    return store if files is None else KeptStore(store, files)


def seems_kept(cache: Path | None, key: str) -> bool:
    """Whether there is a copy of a node in the user's cache, as far as a look from outside tells."""
    return cache is not None and (cache / key).exists()
