"""Files: what users call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.client.base import Client
from airflow_pachy.pfs.sources import PARALLEL
from airflow_pachy.pfs.targets import as_address, as_commit, as_file, as_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_pachy.pfs import diffs, headers, history, splitting
    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.diffs import DiffSummary
    from airflow_pachy.pfs.edits import Data
    from airflow_pachy.pfs.infos import Diff, FileInfo
    from airflow_pachy.pfs.local_directories import LocalDirectory
    from airflow_pachy.pfs.splitting import Split
    from airflow_pachy.pfs.targets import CommitLike

    Progress = Callable[[int, int], None]
else:
    diffs = LazyModule("airflow_pachy.pfs.diffs")
    headers = LazyModule("airflow_pachy.pfs.headers")
    history = LazyModule("airflow_pachy.pfs.history")
    splitting = LazyModule("airflow_pachy.pfs.splitting")


class FileVerbs(Client):
    """Put, get, list, glob, diff, copy and delete files."""

    def put_file(
        self,
        path: str | Address,
        data: Data,
        append: bool = False,
        *,
        executable: bool | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Set a file's content, or append to it, in the branch's open commit or else as a commit of its own.

        `data` is bytes, text (stored as UTF-8), a binary file object read to its end, or a local path. `labels` are
        added to those of the commit. Raises `InvalidPath`, `PathConflict`, `RepoNotFound`, `CommitFinished`.
        """
        self._puts.put_file(as_file(self._root, path), data, append=append, executable=executable, labels=labels)

    def put_dir(
        self,
        path: str | Address,
        local: Path | str | LocalDirectory,
        append: bool = False,
        *,
        progress: Progress | None = None,
        labels: Mapping[str, str] | None = None,
        read_all: bool = False,
    ) -> None:
        """Put all files below a local directory, as one commit; `labels` are added to those of the commit.

        A file that has not changed since it was last put from here (size, inode, times of modification and of change)
        is not read if the commit has what it held; `read_all` reads every file. Appending always does.
        `progress(files, bytes)` hears how many files are done, and their bytes, since its last call.
        """
        address = as_address(self._root, path)
        source = Path(local) if isinstance(local, str | Path) else local
        self._puts.put_dir(address, source, append=append, progress=progress, labels=labels, read_all=read_all)

    def put_split(  # noqa: PLR0917 - one list of numbers, in the order of the specification
        self,
        path: str | Address,
        data: Data,
        delimiter: str = "line",
        target_file_datums: int = 0,
        target_file_bytes: int = 0,
        header_records: int = 0,
        header: bytes | str | None = None,
        footer: bytes | str | None = None,
        *,
        overwrite: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Cut data into pieces below a directory: files named 0000000000000000 and so on, behind those that are there.

        `delimiter` is line, json, csv or sql (one table as pg_dump writes it). A piece ends when it has so many records
        or bytes, whichever is first; without either, each record is a piece. The first `header_records`, or
        `header`, come before every piece, `footer` behind it; None leaves what an earlier commit set. With `overwrite`
        the directory is emptied first. `labels` are added to those of the commit. Raises `InvalidArgument` for data
        that cannot be split, saying where.
        """
        split = splitting.Split(
            delimiter, target_file_datums, target_file_bytes, header_records, header, footer, overwrite=overwrite
        )
        self._puts.put_split(as_address(self._root, path), data, split, labels)

    def put_header(self, path: str | Address, header: bytes | str) -> None:
        """Set the bytes before every piece of a directory and of those below it; empty ones clear them."""
        self._puts.set_frame(as_address(self._root, path), headers.as_frame_bytes(header, "header") or b"", None)

    def put_footer(self, path: str | Address, footer: bytes | str) -> None:
        """Set the bytes behind every piece of a directory and of those below it; empty ones clear them."""
        self._puts.set_frame(as_address(self._root, path), None, headers.as_frame_bytes(footer, "footer") or b"")

    def get_header(self, path: str | Address) -> bytes:
        """The header that a directory was given; empty if none."""
        address = as_address(self._root, path)
        return headers.Frames(self._files(address).tree, self._root.reader).of(address.path or "").header

    def get_footer(self, path: str | Address) -> bytes:
        """The footer that a directory was given; empty if none."""
        address = as_address(self._root, path)
        return headers.Frames(self._files(address).tree, self._root.reader).of(address.path or "").footer

    def put_url(
        self,
        path: str | Address,
        url: str,
        recursive: bool = False,
        *,
        append: bool = False,
        options: Mapping[str, Any] | None = None,
        parallel: int = PARALLEL,
        split: Split | None = None,
        progress: Progress | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Put what a URL names: http(s)://, s3://, file://, pfs://, gs://, abfs:// and others that fsspec reads.

        With `recursive`, everything below a prefix or directory, `parallel` files at a time, as one commit. `options`
        are credentials and settings of the scheme: for s3 the keys of `Pfs.open`'s `s3` (without any, those of this
        root), for http `headers`, `timeout_seconds`, `max_seconds`, `max_bytes`, `tries`, `verify`, for pfs the
        `storage` and `metadata` of another root, else those of fsspec. `progress(files, bytes)` hears what was read
        since its last call. With `split` it is cut into pieces below the path, as by `put_split`. `labels` are added to
        those of the commit.
        Raises `PathNotFound`, `Denied`, `Unavailable`, `InvalidArgument`, naming the URL.
        """
        self._puts.put_url(
            as_address(self._root, path),
            url,
            recursive=recursive,
            append=append,
            options=options,
            parallel=parallel,
            split=split,
            progress=progress,
            labels=labels,
        )

    def delete_file(self, path: str | Address) -> None:
        """Delete a file, a directory or what a glob matches; if there is nothing, nothing happens."""
        self._puts.delete_file(as_path(self._root, path))

    def copy_file(self, source: str | Address, target: str | Address, append: bool = False) -> None:
        """Copy a file or directory by reference, within and across repos."""
        origin = as_address(self._root, source)
        files = self._files(origin)
        files.node(origin.path or "")
        self._puts.copy_file(origin, as_address(self._root, target), files.tree, append=append)

    def get_file(self, path: str | Address, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file from `offset` on; beyond its end there are none. Raises `PathNotFound`."""
        address = as_path(self._root, path)
        return self._files(address).read(address.path or "", offset, length)

    def get_files(self, commit: CommitLike, pattern: str) -> Iterator[bytes]:
        """All files that a pattern matches, or that are below directories it matches, joined in path order.

        Comes in windows of some megabytes. Pieces of a split come with their directory's header and footer once.
        Raises `PathNotFound` if nothing matches.
        """
        return self._files(as_commit(self._root, commit)).join(pattern)

    def open_file(self, path: str | Address) -> BinaryIO:
        """A file as a seekable stream."""
        address = as_path(self._root, path)
        return self._files(address).open(address.path or "")

    def get_dir(self, path: str | Address, local: Path | str, *, progress: Progress | None = None) -> None:
        """Write a directory's files, or those that a pattern matches, below a local directory, made if needed.

        Matches keep their path below the last directory that the pattern names without wildcards.
        `progress(files, bytes)` hears how many files were completed, and bytes written, since its last call.
        """
        address = as_address(self._root, path)
        self._files(address).materialise(address.path or "", Path(local), progress)

    def inspect_file(self, path: str | Address) -> FileInfo:
        """What is at a path, with the content hash also for a directory."""
        address = as_address(self._root, path)
        return self._files(address).inspect(address.path or "")

    def list_file(
        self, path: str | Address, after: str | None = None, limit: int | None = None, reverse: bool = False
    ) -> Iterator[FileInfo]:
        """A directory's children in path order, beyond the child `after`."""
        address = as_address(self._root, path)
        return self._files(address).list(address.path or "", after=after, limit=limit, reverse=reverse)

    def walk_file(
        self,
        path: str | Address,
        after: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        *,
        directories: bool = True,
    ) -> Iterator[FileInfo]:
        """Everything at and below a path, directories before what is in them, beyond the path `after`.

        With `reverse` exactly the other way round, directories after what is in them; without `directories` files only.
        """
        address = as_address(self._root, path)
        files = self._files(address)
        return files.walk(address.path or "", after=after, limit=limit, reverse=reverse, directories=directories)

    def glob_file(
        self,
        commit: CommitLike,
        pattern: str,
        after: str | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[FileInfo]:
        """Files and directories that match a pattern, in path order, beyond the path `after`. Raises `InvalidGlob`."""
        return self._files(as_commit(self._root, commit)).glob(pattern, after=after, limit=limit, reverse=reverse)

    def file_history(self, path: str | Address, limit: int | None = None) -> Iterator[FileInfo]:
        """What was at a path in each commit that changed it, newest first, back to where it came into being.

        The commit of each version is in its `commit`. A deletion ends the history. Raises `PathNotFound`.
        """
        address = as_address(self._root, path)
        files = self._files(address)
        return history.file_history(self._root, files, files.commit.partition("@")[2], address.path or "", limit)

    def diff_summary(self, new: str | Address, old: str | Address | None = None) -> DiffSummary:
        """How many files, and bytes, `diff_file` would tell of."""
        return diffs.summarize(self.diff_file(new, old))

    def diff_file(self, new: str | Address, old: str | Address | None = None) -> Iterator[Diff]:
        """Files at or below a path that differ from those at another commit, by default the parent."""
        newer = as_address(self._root, new)
        older = None if old is None else as_address(self._root, old)
        if older is not None and older.path != newer.path:
            raise InvalidArgument(f"{newer} and {older} must name the same path; compare whole commits without one")
        return self._files(newer).diff(
            newer.path or "", self._parent_files(newer) if older is None else self._files(older)
        )
