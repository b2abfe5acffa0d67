"""An open commit in the hand of the one who writes it: `with pfs.commit("repo@branch") as c: c.put_file(...)`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.edits import Data, PutContents, as_source
from airflow_pachy.pfs.overlay import Overlay
from airflow_pachy.pfs.paths import clean_file_path
from airflow_pachy.pfs.tree.entries import Entry, Put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_pachy.metadata.models import Commit as CommitRow
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.content import ContentWriter

_SETTLE_AT = 20_000


class Commit:
    """An open commit. `str(commit)` is its address, so it can be passed wherever an address is expected.

    When made by `pfs.commit(...)` small files are packed together and become visible in batches: at the
    latest when the block ends, at once when anything reads the commit through the same client.
    Thread-safe.
    """

    def __init__(self, pfs: Pfs, row: CommitRow, *, buffered: bool) -> None:
        self._pfs = pfs
        self._row = row
        self._buffered = buffered
        self._writer: ContentWriter | None = None
        self._files: Overlay | None = None
        self._pending: list[Entry] = []
        self._turn = threading.RLock()

    @property
    def repo(self) -> str:
        """The repo's name."""
        return self._row.repo

    @property
    def branch(self) -> str:
        """The branch's name."""
        return self._row.branch

    @property
    def id(self) -> str:
        """The commit's id, 32 hex digits."""
        return self._row.id

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"

    def __repr__(self) -> str:
        return f"<Commit {self}>"

    def put_file(self, path: str, data: Data, *, append: bool = False, executable: bool | None = None) -> None:
        """Set the content of the file at `path`, or append to it. Raises `InvalidPath`, `PathConflict`."""
        if append or not self._buffered:
            self._pfs.put_file(self._at(path), data, append=append, executable=executable)
            return
        cleaned, source = clean_file_path(path), as_source(data)
        with self._turn:
            if self._writer is None:
                self._writer = self._pfs.new_content_writer()
            if self._files is None:
                self._files = Overlay(self._pfs.opened.tree(self._row))
            present = Entry(cleaned, self._writer.write(source.data), source.executable, None, source.mtime_us)
            entry = (
                present if executable is None else Entry(cleaned, present.content, executable, None, source.mtime_us)
            )
            self._files.add(Put(entry))
            self._pending.append(entry)
            if len(self._pending) >= _SETTLE_AT:
                self.settle()

    def put_dir(
        self,
        path: str,
        local: Path | str,
        *,
        append: bool = False,
        progress: Callable[[int, int], None] | None = None,
        read_all: bool = False,
    ) -> None:
        """Put all files below a local directory at `path`; see `Pfs.put_dir`."""
        self._pfs.put_dir(self._at(path), local, append=append, progress=progress, read_all=read_all)

    def put_split(self, path: str, data: Data, delimiter: str = "line", **options: Any) -> None:
        """Cut data into pieces below the directory `path`; see `Pfs.put_split`."""
        self._pfs.put_split(self._at(path), data, delimiter, **options)

    def put_header(self, path: str, header: bytes | str) -> None:
        """Set the bytes before every piece of a directory; see `Pfs.put_header`."""
        self._pfs.put_header(self._at(path), header)

    def put_footer(self, path: str, footer: bytes | str) -> None:
        """Set the bytes behind every piece of a directory; see `Pfs.put_footer`."""
        self._pfs.put_footer(self._at(path), footer)

    def put_url(self, path: str, url: str, *, recursive: bool = False, append: bool = False, **options: Any) -> None:
        """Put what a URL names; see `Pfs.put_url`."""
        self._pfs.put_url(self._at(path), url, recursive=recursive, append=append, **options)

    def copy_file(self, source: str, path: str, *, append: bool = False) -> None:
        """Copy a file or directory of any commit to `path`, by reference."""
        self._pfs.copy_file(source, self._at(path), append=append)

    def delete_file(self, path: str) -> None:
        """Delete a file, a directory or what a glob matches."""
        self._pfs.delete_file(self._at(path))

    def get_file(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file as this commit has it now."""
        return self._pfs.get_file(self._at(path), offset, length)

    def settle(self) -> None:
        """Make everything put so far durable and visible to readers of this open commit."""
        with self._turn:
            pending, self._pending, self._files = self._pending, [], None
            if not pending:
                return
            assert self._writer is not None
            self._writer.flush()
            self._pfs.opened.write(self._row, PutContents(pending))

    def close(self, *, abandon: bool = False) -> None:
        """Release the writer; with `abandon`, what is not settled is dropped."""
        with self._turn:
            if not abandon:
                self.settle()
            self._pending = []
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()

    def _at(self, path: str) -> str:
        return f"{Address(self.repo, self.id)}:{path if path.startswith('/') else f'/{path}'}"
