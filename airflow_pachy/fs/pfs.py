"""`pfs://repo/branch/path` for everything that speaks fsspec.

    from airflow.sdk import ObjectStoragePath
    photos = ObjectStoragePath("pfs://pachy_default@images/master/2024")

    pandas.read_csv("pfs://sales/master/may.csv")

Reading is by range, so a Parquet footer costs its own bytes. A file that is written becomes a commit when it is closed;
several in one commit are written inside `with fs.transaction:`. Branch or commit stand in the path and not behind `@`,
because Airflow reads what is before `@` in a storage URI as the connection.
"""

from __future__ import annotations

import io
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile
from fsspec.transaction import Transaction

from airflow_pachy.errors import InvalidArgument, NotFound
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from airflow_pachy.pfs import FileInfo, Pfs

schemes = ["pfs"]
_SPOOLED_BYTES = 16 << 20


def get_fs(conn_id: str | None, storage_options: Mapping[str, Any] | None = None) -> PfsFileSystem:
    """The file system of a connection; Airflow's hook for the scheme."""
    return PfsFileSystem(conn_id=conn_id or DEFAULT_CONNECTION, **(storage_options or {}))


class PfsFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec is untyped
    """Repos are the top level, branches and commits the second, files are below.

    `conn_id` is the `pachy` connection; or `storage`, `metadata` and `s3` say where things are, as for `Pfs.open`.
    """

    protocol: ClassVar[str] = "pfs"
    root_marker: ClassVar[str] = ""
    # Branches move: a listing that is kept would be another version's.
    cachable: ClassVar[bool] = True

    def __init__(
        self,
        conn_id: str | None = None,
        storage: str | None = None,
        metadata: str | None = None,
        s3: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(use_listings_cache=False, **options)
        self._conn_id, self._storage, self._metadata, self._s3 = conn_id, storage, metadata, s3
        self._opened: Pfs | None = None

    @property
    def pfs(self) -> Pfs:
        """The client behind it, opened when first used."""
        if self._opened is None:
            if self._conn_id is not None:
                from airflow_pachy.hooks.pfs import PfsHook

                self._opened = PfsHook(self._conn_id).get_conn(pooled=True)
            else:
                from airflow_pachy.pfs import Pfs

                self._opened = Pfs.open(self._storage, self._metadata, self._s3)
        return self._opened

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        bare = str(path).removeprefix("pfs://")
        head, at, tail = bare.partition("@")
        return (tail if at and "/" not in head else bare).strip("/")

    def _address(self, path: str) -> tuple[str, str, str]:
        """Repo, branch or commit, and path in it; each may be empty, from behind."""
        repo, _, rest = self._strip_protocol(path).partition("/")
        ref, _, inside = rest.partition("/")
        return repo, ref, inside

    def _file(self, path: str) -> str:
        repo, ref, inside = self._address(path)
        if not inside:
            raise IsADirectoryError(f"pfs://{self._strip_protocol(path)} is not a file; write pfs://repo/branch/path")
        return f"{repo}@{ref}:/{inside}"

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The children of a directory; repos at the top, branches below a repo."""
        repo, ref, inside = self._address(path)
        if not repo:
            found = [_directory(one.name) for one in self.pfs.list_repos()]
        elif not ref:
            found = [_directory(f"{repo}/{one.name}") for one in self._branches(repo)]
        else:
            info = self.info(path)
            if info["type"] == "file":
                found = [info]
            elif info.get("empty"):
                found = []
            else:
                found = [_entry(repo, ref, one) for one in self.pfs.list_file(f"{repo}@{ref}:/{inside}")]
        return found if detail else [one["name"] for one in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What is at a path. Raises `FileNotFoundError`."""
        repo, ref, inside = self._address(path)
        try:
            if not repo:
                return _directory("")
            if not ref:
                return _directory(self.pfs.inspect_repo(repo).name)
            if not inside and self._is_empty_branch(repo, ref):
                return {**_directory(f"{repo}/{ref}"), "empty": True}
            return _entry(repo, ref, self.pfs.inspect_file(f"{repo}@{ref}:/{inside}"))
        except NotFound as error:
            raise FileNotFoundError(str(error)) from error

    def _branches(self, repo: str) -> list[Any]:
        try:
            return self.pfs.list_branches(repo)
        except NotFound as error:
            raise FileNotFoundError(str(error)) from error

    def _is_empty_branch(self, repo: str, ref: str) -> bool:
        return any(one.name == ref and one.head is None for one in self.pfs.list_branches(repo))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Bytes of a file, of a range if given; only those are read."""
        address = self._file(path)
        try:
            size = self.pfs.inspect_file(address).size_bytes if (start or 0) < 0 or (end or 0) < 0 else 0
            first = (start or 0) + (size if (start or 0) < 0 else 0)
            last = None if end is None else end + (size if end < 0 else 0)
            return self.pfs.get_file(address, max(first, 0), None if last is None else max(last - max(first, 0), 0))
        except NotFound as error:
            raise FileNotFoundError(str(error)) from error

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, cache_options: Any = None, **options: Any
    ) -> Any:
        if mode == "rb":
            self.info(path)
            return _Reader(self, path, mode, block_size or "default", cache_options=cache_options, **options)
        if mode in {"wb", "ab", "xb"}:
            address = self._file(path)
            if mode == "xb" and self.exists(path):
                raise FileExistsError(f"pfs://{self._strip_protocol(path)} exists already")
            return _Written(self, address, append=mode == "ab", in_transaction=self._intrans)
        raise InvalidArgument(
            f"cannot open pfs://{self._strip_protocol(path)} with mode {mode!r}; use rb, wb, xb or ab"
        )

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy by reference: no bytes move."""
        self.pfs.copy_file(self._file(path1), self._file(path2))

    def rm_file(self, path: str) -> None:
        """Delete one file, as a commit."""
        self.info(path)
        self.pfs.delete_file(self._literal(path))

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete files, or with `recursive` directories."""
        if maxdepth is not None:
            raise InvalidArgument("rm of pfs:// has no maxdepth; name the files")
        for one in [path] if isinstance(path, str) else path:
            if self.info(one)["type"] == "directory" and not recursive:
                raise IsADirectoryError(f"{one} is a directory; delete it with recursive=True")
            self.pfs.delete_file(self._literal(one))

    def _literal(self, path: str) -> str:
        repo, ref, inside = self._address(path)
        if not inside:
            raise InvalidArgument(
                f"{path} is a repo or branch; delete those with `pachy delete repo` or `delete branch`"
            )
        return f"{repo}@{ref}:/{_escaped(inside)}"

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: ARG002 - fsspec's signature
        """Nothing to do below a branch, where directories come with their files; a repo is made at the top."""
        repo, ref, _inside = self._address(path)
        if repo and not ref:
            self.pfs.create_repo(repo)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """As `mkdir`."""
        repo, ref, _inside = self._address(path)
        if repo and not ref and not (exist_ok and self.exists(repo)):
            self.pfs.create_repo(repo)

    def created(self, path: str) -> Any:
        """When the commit that is read was finished."""
        return self._commit(path).started

    def modified(self, path: str) -> Any:
        """As `created`: a version does not change."""
        return self._commit(path).finished

    def _commit(self, path: str) -> Any:
        repo, ref, _ = self._address(path)
        return self.pfs.inspect_commit(f"{repo}@{ref}")

    def checksum(self, path: str) -> str:
        """The content hash."""
        return str(self.info(path)["hash"])

    ukey = checksum


class _Reader(AbstractBufferedFile):  # type: ignore[misc]  # fsspec is untyped
    """A file read in blocks of fsspec's own cache."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start, end))


class _Written(io.IOBase):
    """A file being written: kept in memory, beyond 16 MiB in a temporary file, and put when it is closed."""

    def __init__(self, fs: PfsFileSystem, address: str, *, append: bool, in_transaction: bool) -> None:
        self.fs, self.append = fs, append
        self.branch, _, self.path = address.partition(":")
        self.given_up = False
        self._address = address
        self._in_transaction = in_transaction
        self._buffer = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 - closed with this file

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Add bytes."""
        return self._buffer.write(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._buffer.tell()

    def content(self) -> Any:
        """What was written, from its start."""
        self._buffer.seek(0)
        return self._buffer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A block that raised has not finished its file: half of it must not become a version.
        if kind is not None:
            self.discard()
        self.close()

    def discard(self) -> None:
        """Give it up."""
        self.given_up = True
        self._buffer.close()

    def close(self) -> None:
        """Commit the file, unless a transaction will."""
        if self.closed:
            return
        super().close()
        if not self._in_transaction and not self.given_up:
            with self._buffer:
                self.fs.pfs.put_file(self._address, self.content(), append=self.append)


class _OneCommit(Transaction):  # type: ignore[misc]  # fsspec is untyped
    """All files written in a transaction, as one commit per branch."""

    def complete(self, commit: bool = True) -> None:
        """Commit them, or give them up."""
        files = [one for one in self.files if not one.given_up]
        try:
            if commit:
                self._commit(files)
        finally:
            for one in files:
                one.discard()
            super().complete(commit=False)

    def _commit(self, files: list[_Written]) -> None:
        branches: dict[str, list[_Written]] = {}
        for one in files:
            branches.setdefault(one.branch, []).append(one)
        for branch, written in branches.items():
            with self.fs.pfs.commit(branch) as commit:
                for one in written:
                    commit.put_file(one.path, one.content(), append=one.append)


PfsFileSystem.transaction_type = _OneCommit


def _escaped(path: str) -> str:
    """The path as a pattern that matches nothing else."""
    return "".join(f"\\{letter}" if letter in "*?[]{}!()@+^\\" else letter for letter in path)


def _directory(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


def _entry(repo: str, ref: str, info: FileInfo) -> dict[str, Any]:
    inside = info.path.strip("/")
    name = f"{repo}/{ref}/{inside}" if inside else f"{repo}/{ref}"
    kind = "file" if info.type == "file" else "directory"
    return {"name": name, "size": info.size_bytes, "type": kind, "hash": info.hash, "commit": info.commit}
