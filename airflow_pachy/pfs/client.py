"""`Pfs`: the versioned file system as one object. Every method takes addresses and answers with plain values."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.metadata import Metadata
from airflow_pachy.pfs import branches, commits, outputs, removal, repos, waiting
from airflow_pachy.pfs import provenance as lineage
from airflow_pachy.pfs.address import Address, parse_branch
from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.files import Files
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.handle import Commit
from airflow_pachy.pfs.lookups import find_commit, find_commit_by_id
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pfs.open_commits import OpenCommits
from airflow_pachy.pfs.puts import Puts
from airflow_pachy.pfs.root import Root
from airflow_pachy.pfs.settings import process_environment, settings_from
from airflow_pachy.pfs.targets import CommitLike, as_address, as_commit, as_file, as_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs.edits import Data
    from airflow_pachy.pfs.infos import BranchInfo, CommitInfo, Diff, FileInfo, RepoInfo
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.tree import Tree

    Progress = Callable[[int, int], None]


class Pfs:
    """Repos, branches, commits and files of one root. Thread-safe; use `Pfs.open` and close it, or `with`."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self.opened = OpenCommits(root)
        self._puts = Puts(root, self.opened)

    @classmethod
    def open(
        cls,
        storage: str | None = None,
        metadata: str | None = None,
        s3: Mapping[str, Any] | None = None,
        principal: str | None = None,
        *,
        pooled: bool = True,
    ) -> Pfs:
        """Connect to a store and its database, by default those of the `PACHY_*` variables or the embedded ones.

        An empty store and an empty database are made ready on first use. `pooled=False` keeps no idle database
        connections, for short-lived tasks. Raises `StoreDenied`, `StoreUnfit`, `StoreUnavailable`,
        `MetadataUnavailable`, `SchemaMismatch`, `InvalidArgument`.
        """
        settings = settings_from(process_environment(), storage=storage, metadata=metadata, s3=s3, principal=principal)
        database = Metadata.open(settings.metadata, pooled=pooled)
        try:
            database.ensure_ready()
            store = open_store(settings.storage, s3=settings.s3)
            try:
                ensure_format(store)
            except BaseException:
                store.close()
                raise
        except BaseException:
            database.close()
            raise
        return cls(Root(store, database, ContentReader(store), settings.principal, settings.s3))

    def close(self) -> None:
        """Release connections."""
        self._root.store.close()
        self._root.metadata.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # For the layers above

    @property
    def store(self) -> ObjectStore:
        """The object store."""
        return self._root.store

    @property
    def metadata(self) -> Metadata:
        """The metadata database."""
        return self._root.metadata

    @property
    def principal(self) -> str | None:
        """Who is asking."""
        return self._root.principal

    @property
    def content_reader(self) -> ContentReader:
        """Reads contents of any commit."""
        return self._root.reader

    def new_content_writer(self) -> ContentWriter:
        """A writer of contents; close it, or use it in a `with` block."""
        return ContentWriter(self._root.store)

    def tree(self, commit: CommitLike) -> Tree:
        """The files of a commit; of an open one, as they are at this moment."""
        return self._files(as_commit(self._root, commit)).tree

    def start_output_commit(
        self,
        branch: str,
        *,
        provenance: Sequence[str] = (),
        job: str | None = None,
        description: str = "",
        session: Session | None = None,
    ) -> str:
        """Open a commit that a job will publish and return its id; it is not visible as the branch's head until then.

        `provenance` are ids of the input commits. With `session`, inside the caller's transaction.
        """
        return outputs.start_output_commit(
            self._root,
            parse_branch(branch),
            provenance=[one.partition("@")[2] or one for one in provenance],
            job=job,
            description=description,
            session=session,
        )

    def reopen_output_commit(self, commit_id: str) -> None:
        """Open a dropped output commit again, for the next attempt of its job; an open one stays as it is."""
        outputs.reopen_output_commit(self._root, commit_id)

    def mirror_commit(self, commit_id: str, tree: Tree | None = None, *, seen_head: str | None = None) -> None:
        """Write a commit's JSON copy; of an open one as publishing `tree` on `seen_head` is about to make it."""
        outputs.mirror_output_commit(self._root, commit_id, tree, seen_head=seen_head)

    def publish_output_commit(self, session: Session, commit_id: str, tree: Tree, *, seen_head: str | None) -> None:
        """Finish an output commit as the head of its branch, inside the caller's transaction; touches no object.

        Idempotent. Raises `BranchMoved` when the head is not `seen_head` any more.
        """
        outputs.publish_output_commit(session, commit_id, tree, seen_head=seen_head, author=self._root.principal)

    def drop_output_commit(self, commit_id: str, error: str) -> None:
        """Close an output commit that will not be published; its branch stays where it was."""
        outputs.drop_output_commit(self._root, commit_id, error)

    # Repos

    def create_repo(self, name: str, description: str = "", *, update: bool = False) -> RepoInfo:
        """Make a repo; `update` changes the description of an existing one. Raises `AlreadyExists`, `InvalidName`."""
        return repos.create_repo(self._root, name, description=description, update=update)

    def inspect_repo(self, name: str) -> RepoInfo:
        """One repo. Raises `RepoNotFound`."""
        return repos.inspect_repo(self._root, name)

    def list_repos(self, *, after: str | None = None, limit: int | None = None) -> Iterator[RepoInfo]:
        """Repos by name, beyond the name `after`."""
        return repos.list_repos(self._root, after=after, limit=limit)

    def delete_repo(self, name: str, *, force: bool = False) -> None:
        """Delete a repo and its history. Raises `HasDependents` when others derive from it, unless `force`."""
        repos.delete_repo(self._root, name, force=force)

    # Branches

    def create_branch(
        self,
        branch: str,
        head: CommitLike | None = None,
        provenance: Sequence[str] | None = None,
        trigger: Mapping[str, Any] | None = None,
    ) -> BranchInfo:
        """Make a branch, or move it to `head`, or set the branches it derives from; what is not given stays.

        Raises `RepoNotFound`, `BranchNotFound`, `CommitNotFound`, `CommitOpen`, `InvalidArgument`.
        """
        return branches.create_branch(
            self._root,
            parse_branch(branch),
            head=None if head is None else as_commit(self._root, head),
            provenance=None if provenance is None else [parse_branch(one) for one in provenance],
            trigger=None if trigger is None else dict(trigger),
        )

    def inspect_branch(self, branch: str) -> BranchInfo:
        """One branch. Raises `BranchNotFound`."""
        return branches.inspect_branch(self._root, parse_branch(branch))

    def list_branches(self, repo: str) -> list[BranchInfo]:
        """The branches of a repo, newest first."""
        return branches.list_branches(self._root, repo)

    def delete_branch(self, branch: str, *, force: bool = False) -> None:
        """Delete a branch, not its commits. Raises `HasDependents` when others derive from it, unless `force`."""
        branches.delete_branch(self._root, parse_branch(branch), force=force)

    # Commits

    def start_commit(
        self,
        branch: str,
        parent: CommitLike | None = None,
        description: str = "",
        provenance: Sequence[CommitLike] | None = None,
    ) -> Commit:
        """Open a commit on a branch. Raises `CommitOpen` if one is open already."""
        info = commits.start_commit(
            self._root,
            parse_branch(branch),
            parent=None if parent is None else as_commit(self._root, parent),
            description=description,
            provenance=None if provenance is None else [as_commit(self._root, one) for one in provenance],
        )
        return self._handle(info.id, buffered=False)

    def finish_commit(
        self,
        commit: CommitLike,
        description: str | None = None,
        *,
        empty: bool = False,
        error: str | None = None,
    ) -> CommitInfo:
        """Publish an open commit; `empty` publishes no files, `error` closes it beside its branch. Idempotent."""
        address = as_commit(self._root, commit)
        info = self.inspect_commit(address)
        self.opened.settle(info.id)
        finished = commits.finish_commit(self._root, address, description=description, empty=empty, error=error)
        self.opened.forget(finished.id)
        return finished

    @contextmanager
    def commit(
        self,
        branch: str,
        *,
        parent: CommitLike | None = None,
        description: str = "",
        provenance: Sequence[CommitLike] | None = None,
    ) -> Iterator[Commit]:
        """Open a commit for a block: finished when the block ends, dropped when it raises."""
        started = self.start_commit(branch, parent, description, provenance)
        handle = self._handle(started.id, buffered=True)
        self.opened.on_touch(handle.id, handle.settle)
        try:
            yield handle
            handle.close()
        except BaseException:
            handle.close(abandon=True)
            self.opened.forget(handle.id)
            self.drop_commit(str(handle))
            raise
        self.finish_commit(str(handle))

    def inspect_commit(self, commit: CommitLike) -> CommitInfo:
        """What is known of a commit. Raises `CommitNotFound`."""
        return commits.inspect_commit(self._root, as_commit(self._root, commit))

    def list_commits(
        self,
        commit: CommitLike,
        after: CommitLike | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
        origin: str | None = None,
    ) -> Iterator[CommitInfo]:
        """A branch's or commit's history, newest first (oldest first with `reverse`), beyond the commit `after`."""
        beyond = None if after is None else as_commit(self._root, after)
        address = as_commit(self._root, commit)
        return commits.list_commits(self._root, address, after=beyond, limit=limit, reverse=reverse, origin=origin)

    def subscribe_commit(
        self, branch: str, start: CommitLike | None = None, state: str = "finished", *, timeout: float | None = None
    ) -> Iterator[CommitInfo]:
        """Commits beyond `start`, oldest first, then new heads as they come, for `timeout` seconds or for ever."""
        begin = None if start is None else as_commit(self._root, start)
        return waiting.subscribe_commit(
            self._root, parse_branch(branch), start=begin, state=state, pauses=waiting.Pauses(timeout)
        )

    def wait_commit(self, commit: CommitLike, timeout: float | None = None) -> CommitInfo:
        """Wait until a commit is finished. Raises `TimeoutError` after `timeout` seconds."""
        return waiting.wait_commit(self._root, as_commit(self._root, commit), waiting.Pauses(timeout))

    def provenance(self, commit: CommitLike) -> list[CommitInfo]:
        """All commits that a commit derives from, directly or not, oldest first."""
        return lineage.provenance(self._root, as_commit(self._root, commit))

    def subvenance(self, commit: CommitLike) -> list[CommitInfo]:
        """All commits that derive from a commit, directly or not, oldest first."""
        return lineage.subvenance(self._root, as_commit(self._root, commit))

    def drop_commit(self, commit: CommitLike) -> None:
        """Remove a commit that has no children; a branch whose head it is falls back to the parent."""
        self.opened.forget(removal.drop_commit(self._root, as_commit(self._root, commit)))

    def squash_commit(self, commit: CommitLike) -> None:
        """Remove a commit that has children: they keep their files and follow its parent."""
        removal.squash_commit(self._root, as_commit(self._root, commit))

    def delete_commit(self, commit: CommitLike) -> None:
        """Remove a commit and all that derive from it; children follow its parent, heads fall back to it."""
        removal.delete_commit(self._root, as_commit(self._root, commit))

    # Files

    def put_file(
        self, path: str | Address, data: Data, append: bool = False, *, executable: bool | None = None
    ) -> None:
        """Set a file's content, or append to it, in the branch's open commit or else as a commit of its own.

        `data` is bytes, text (stored as UTF-8), a binary file object read to its end, or a local path.
        Raises `InvalidPath`, `PathConflict`, `RepoNotFound`, `CommitFinished`.
        """
        self._puts.put_file(as_file(self._root, path), data, append=append, executable=executable)

    def put_dir(
        self, path: str | Address, local: Path | str, append: bool = False, *, progress: Progress | None = None
    ) -> None:
        """Put all files below a local directory, as one commit.

        `progress(files, bytes)` hears how many files were read to their end, and bytes read, since its last call.
        """
        self._puts.put_dir(as_address(self._root, path), Path(local), append=append, progress=progress)

    def put_url(self, path: str | Address, url: str, recursive: bool = False, *, append: bool = False) -> None:
        """Put what an http(s), s3 or file URL names."""
        self._puts.put_url(as_address(self._root, path), url, recursive=recursive, append=append)

    def delete_file(self, path: str | Address) -> None:
        """Delete a file, a directory or what a glob matches; if there is nothing, nothing happens."""
        self._puts.delete_file(as_path(self._root, path))

    def copy_file(self, source: str | Address, target: str | Address, append: bool = False) -> None:
        """Copy a file or directory by reference, within and across repos."""
        origin = as_address(self._root, source)
        files = self._files(origin)
        files.node(origin.path or "")
        self._puts.copy_file(origin, as_address(self._root, target), files.below(origin.path or ""), append=append)

    def get_file(self, path: str | Address, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file from `offset` on; beyond its end there are none. Raises `PathNotFound`."""
        address = as_path(self._root, path)
        return self._files(address).read(address.path or "", offset, length)

    def open_file(self, path: str | Address) -> BinaryIO:
        """A file as a seekable stream."""
        address = as_path(self._root, path)
        return self._files(address).open(address.path or "")

    def get_dir(self, path: str | Address, local: Path | str, *, progress: Progress | None = None) -> None:
        """Write a directory's files below a local directory, made if needed.

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

    def walk_file(self, path: str | Address, after: str | None = None, limit: int | None = None) -> Iterator[FileInfo]:
        """Everything at and below a path, directories before what is in them, beyond the path `after`."""
        address = as_address(self._root, path)
        return self._files(address).walk(address.path or "", after=after, limit=limit)

    def glob_file(
        self, commit: CommitLike, pattern: str, after: str | None = None, limit: int | None = None
    ) -> Iterator[FileInfo]:
        """Files and directories that match a pattern, in path order, beyond the path `after`. Raises `InvalidGlob`."""
        return self._files(as_commit(self._root, commit)).glob(pattern, after=after, limit=limit)

    def diff_file(self, new: str | Address, old: str | Address | None = None) -> Iterator[Diff]:
        """Files at or below a path that differ from those at another commit, by default the parent."""
        newer = as_address(self._root, new)
        older = None if old is None else as_address(self._root, old)
        if older is not None and older.path != newer.path:
            raise InvalidArgument(f"{newer} and {older} must name the same path; compare whole commits without one")
        return self._files(newer).diff(
            newer.path or "", self._parent_files(newer) if older is None else self._files(older)
        )

    # Within

    def _handle(self, commit_id: str, *, buffered: bool) -> Commit:
        with self._root.metadata.reader() as session:
            return Commit(self, find_commit_by_id(session, commit_id), buffered=buffered)

    def _files(self, address: Address) -> Files:
        with self._root.metadata.reader() as session:
            row = find_commit(session, address)
        tree = self.opened.tree(row) if row.state == "open" else self._root.tree(row.tree)
        return Files(tree, f"{row.repo}@{row.id}", self._root.reader)

    def _parent_files(self, address: Address) -> Files:
        with self._root.metadata.reader() as session:
            row = find_commit(session, address)
            parent = find_commit_by_id(session, row.parent) if row.parent else None
        tree = self._root.tree(parent.tree if parent else None)
        return Files(tree, f"{row.repo}@{row.parent}" if row.parent else f"{row.repo}@nothing", self._root.reader)
