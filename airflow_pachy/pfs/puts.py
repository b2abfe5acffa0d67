"""Writing: each call becomes part of the open commit of its branch, or a commit of its own."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_pachy.errors import CommitFinished, InvalidArgument
from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.content import ContentWriter
from airflow_pachy.pfs.labels import check_labels
from airflow_pachy.pfs.local_directories import LocalDirectory
from airflow_pachy.pfs.local_files import WHOLE_BYTES
from airflow_pachy.pfs.oneshot import BranchBusy, OneShot, plain_head
from airflow_pachy.pfs.paths import clean_file_path
from airflow_pachy.pfs.piles import EntriesBelow
from airflow_pachy.pfs.seen_files import SeenFiles
from airflow_pachy.pfs.settings import process_environment
from airflow_pachy.pfs.sources import PARALLEL, handler_of
from airflow_pachy.pfs.stored_chunks import StoredChunks
from airflow_pachy.pfs.tree import Tree
from airflow_pachy.pfs.tree.entries import Entry
from airflow_pachy.pfs.uploads import KnownChunks, PutDirectory, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_pachy.metadata import models
    from airflow_pachy.metadata.models import Commit
    from airflow_pachy.pfs import edits, headers, lookups, oneshot_rows, splitting
    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.edits import Data, Edit, Source
    from airflow_pachy.pfs.open_commits import OpenCommits
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.sources import requests
    from airflow_pachy.pfs.splitting import Split
else:
    # Of these an operation needs some or none.
    edits = LazyModule("airflow_pachy.pfs.edits")
    headers = LazyModule("airflow_pachy.pfs.headers")
    requests = LazyModule("airflow_pachy.pfs.sources.requests")
    splitting = LazyModule("airflow_pachy.pfs.splitting")
    # Need SQLAlchemy, and most puts of a command line do without: see `airflow_pachy.metadata.plain`.
    models = LazyModule("airflow_pachy.metadata.models")
    lookups = LazyModule("airflow_pachy.pfs.lookups")
    oneshot_rows = LazyModule("airflow_pachy.pfs.oneshot_rows")

_BUSY_TRIES = 5
_SPOOL_BYTES = 8 << 20
_PIECES_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Puts:
    """The writing half of a client; `opened` is called for what it has to do with open commits."""

    root: Root
    opened: Callable[[], OpenCommits]

    def put_file(
        self,
        address: Address,
        data: Data,
        *,
        append: bool,
        executable: bool | None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Set a file's content, or append to it. Raises `InvalidPath`, `PathConflict`, `CommitFinished`."""
        path, labels = clean_file_path(address.path or ""), check_labels(labels or {})
        source = edits.as_source(data)
        if executable is not None:
            source = edits.Source(source.data, executable, source.mtime_us)
        self._require_target(address)
        known = KnownChunks()
        with ContentWriter(self.root.store, known=known.find, shared=StoredChunks(self.root.metadata)) as writer:
            if append:
                with _rereadable(source) as again:
                    self.apply(address, edits.AppendData(path, again, writer, self.root.reader), labels)
                return
            if _is_large(source):
                known.see(self._present(address, path))
            content = writer.write(source.data)
            writer.flush()
            entry = Entry(path, content, source.executable, None, source.mtime_us)
            self.apply(address, edits.PutContents([entry]), labels)

    def put_dir(
        self,
        address: Address,
        local: Path | LocalDirectory,
        *,
        append: bool,
        progress: Callable[[int, int], None] | None = None,
        labels: Mapping[str, str] | None = None,
        read_all: bool = False,
    ) -> None:
        """Put all files below a local directory at the address's path."""
        self.put_directory(address, local, append=append, told=Told(progress), labels=labels, read_all=read_all)

    def put_directory(
        self,
        address: Address,
        local: Path | LocalDirectory,
        *,
        append: bool,
        told: Told,
        labels: Mapping[str, str] | None = None,
        read_all: bool = False,
    ) -> None:
        """The same, with progress told by somebody who counts more than this."""
        labels = check_labels(labels or {})
        if isinstance(local, Path):
            local = LocalDirectory(local, SeenFiles.of(local, process_environment()), read_all=read_all)
        self._require_target(address)
        known = KnownChunks()
        with ContentWriter(self.root.store, known=known.find, shared=StoredChunks(self.root.metadata)) as writer:
            edit = PutDirectory(local, address.path or "", append, writer, self.root.reader, known, told)
            self.apply(address, edit, labels)

    def put_split(self, address: Address, data: Data, split: Split, labels: Mapping[str, str] | None = None) -> None:
        """Cut data into numbered pieces below a directory, behind those that are there."""
        labels = check_labels(labels or {})
        directory = address.path or ""
        source = edits.as_source(data)
        files = self._present_files(address)
        headers.require_directory(files, directory)
        known = KnownChunks()
        with ContentWriter(self.root.store, known=known.find, shared=StoredChunks(self.root.metadata)) as writer:
            staging = splitting.Staging(writer, Tree(self.root.store, None), source.mtime_us)
            with _as_stream(source) as stream:
                staged = splitting.stage(stream, split, headers.Frames(files, self.root.reader), directory, staging)
            writer.flush()
            commit = self.open_target(address)
            former = None if commit is None else self.root.tree(commit.tree)
            # In an open commit a batch of changes is held in memory.
            step = len(staged) if commit is None else _PIECES_AT_ONCE
            for start in range(0, max(1, len(staged)), max(1, step)):
                framing = headers.Framing(self.root.reader, writer, known)
                edit = splitting.PutPieces(directory, staged, framing, start, start + step, former, split.overwrite)
                self.apply(address, edit, labels)

    def set_frame(self, address: Address, header: bytes | None, footer: bytes | None) -> None:
        """Set the header or footer of a directory and all its pieces."""
        self._require_target(address)
        known = KnownChunks()
        with ContentWriter(self.root.store, known=known.find, shared=StoredChunks(self.root.metadata)) as writer:
            framing = headers.Framing(self.root.reader, writer, known)
            self.apply(address, splitting.SetFrame(address.path or "", header, footer, framing))

    def put_url(
        self,
        address: Address,
        url: str,
        *,
        recursive: bool,
        append: bool,
        options: Mapping[str, Any] | None = None,
        parallel: int = PARALLEL,
        split: Split | None = None,
        progress: Callable[[int, int], None] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Put what a URL names; with `recursive`, everything below it. See `airflow_pachy.pfs.sources`."""
        if split is not None and (recursive or append):
            raise InvalidArgument("what is split is a single file, and pieces come behind those that are there")
        put, labels = handler_of(url), check_labels(labels or {})
        self._require_target(address)
        told = Told(progress)
        put(requests.Request(self, address, url, recursive, append, told, options or {}, parallel, split, labels))

    def delete_file(self, address: Address) -> None:
        """Delete a file, a directory, or what a glob matches; what is not there is no error."""
        if address.path is None:
            raise InvalidArgument(f"{address} names no path; write {address.commit}:/path, or :/ for everything")
        self._require_target(address)
        self.apply(address, edits.DeletePath(address.path))

    def copy_file(self, source: Address, target: Address, files: Tree, *, append: bool) -> None:
        """Copy what `files` has at `source` to `target` by reference."""
        origin, path = source.path or "", target.path or ""
        entries = EntriesBelow(files, origin)
        edits.require_some(entries, str(source))
        self._require_target(target)
        is_file = bool(origin) and files.get(origin) is not None
        attributes = [] if is_file else headers.copied_attributes(files, origin, path, self.root.reader)
        if is_file and not path:
            raise InvalidArgument(f"{source} is a file, so the target needs a file name: {target.commit}:/name")
        with ContentWriter(self.root.store, shared=StoredChunks(self.root.metadata)) as writer:
            self.apply(target, edits.CopyPath(origin, path, entries, append, writer, self.root.reader, attributes))

    def apply(self, address: Address, edit: Edit, labels: Mapping[str, str] | None = None) -> None:
        """Make an edit in the open commit that the address means, else as a commit of its own on its branch.

        `labels` are added to those of the commit, together with the edit or not at all.
        """
        for _ in range(_BUSY_TRIES):
            commit = self.open_target(address)
            try:
                if commit is not None:
                    self.opened().write(commit, edit, labels)
                else:
                    OneShot(self.root, address.commit, edit, labels=labels).run()
            except BranchBusy:
                continue
            except CommitFinished:
                # Whoever had it open finished it: on a branch, the edit becomes a commit of its own.
                if address.is_commit_id or address.ancestry:
                    raise
                continue
            return
        raise BranchBusy(f"commits were opened and finished on {address.commit} again and again; try again")

    def new_writer(self) -> ContentWriter:
        """A writer of contents for edits that are made from outside; close it, or use it in a `with` block."""
        return ContentWriter(self.root.store, shared=StoredChunks(self.root.metadata))

    def files_at(self, address: Address) -> Tree:
        """The files of a commit; of an open one, as they are at this moment."""
        with self.root.metadata.reader() as session:
            row = lookups.find_commit(session, address)
        return self.opened().tree(row) if row.state == "open" else self.root.tree(row.tree)

    def open_target(self, address: Address) -> Commit | None:
        """The open commit an address means for writing; None for a branch without one.

        Raises `CommitFinished` for a finished commit, `InvalidArgument` for ancestry.
        """
        if not address.is_commit_id and not address.ancestry and plain_head(self.root, address) is not None:
            return None
        with self.root.metadata.reader() as session:
            if not address.is_commit_id and not address.ancestry:
                row = session.get(models.Branch, (address.repo, address.ref))
                if row is None:
                    lookups.find_repo(session, address.repo)
                    return None
                return session.get_one(models.Commit, row.open_commit) if row.open_commit else None
            commit = lookups.find_commit(session, address)
        if commit.state != "open":
            raise CommitFinished(
                f"commit {commit.repo}@{commit.id} is {commit.state} and cannot change; write to "
                f"{commit.repo}@{commit.branch} to make a new commit on top of the branch"
            )
        return commit

    def _require_target(self, address: Address) -> None:
        """Fail before bytes travel if there is nothing to write to."""
        self.open_target(address)

    def _present(self, address: Address, path: str) -> Entry | None:
        """The file that a put is about to replace, as the last finished commit has it."""
        commit = self.open_target(address)
        if commit is not None:
            return self.root.tree(commit.tree).get(path)
        return self._head_files(address).get(path)

    def _present_files(self, address: Address) -> Tree:
        """What a put would find now."""
        commit = self.open_target(address)
        return self._head_files(address) if commit is None else self.opened().tree(commit)

    def _head_files(self, address: Address) -> Tree:
        if (head := plain_head(self.root, address)) is not None:
            return self.root.tree(head.tree)
        with self.root.metadata.reader() as session:
            return self.root.tree(oneshot_rows.head_tree(session, address))


def _is_large(source: Source) -> bool:
    """Whether the content may have several chunks; of a stream we cannot know."""
    if isinstance(source.data, bytes):
        return len(source.data) > WHOLE_BYTES
    return not isinstance(source.data, Path) or source.data.stat().st_size > WHOLE_BYTES


@contextmanager
def _as_stream(source: Source) -> Iterator[BinaryIO]:
    if isinstance(source.data, Path):
        with source.data.open("rb") as file:
            yield file
    else:
        yield io.BytesIO(source.data) if isinstance(source.data, bytes) else source.data


@contextmanager
def _rereadable(source: Source) -> Iterator[Source]:
    """A source that an edit may read again when another writer was faster: a stream is copied to a temporary file."""
    if isinstance(source.data, (bytes, Path)):
        yield source
        return
    import shutil
    import tempfile

    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as copy:
        shutil.copyfileobj(source.data, copy, 1 << 20)
        yield edits.Source(cast("BinaryIO", copy), source.executable, source.mtime_us)
