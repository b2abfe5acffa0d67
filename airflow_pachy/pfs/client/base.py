"""What the nouns of the facade share: opening, closing, and reaching the files of a commit."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from airflow_pachy.lazy import LazyModule
from airflow_pachy.metadata.deferred import open_metadata
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.client.guard import guard
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pfs.roles import check_principal, parse_caller
from airflow_pachy.pfs.root import Root
from airflow_pachy.pfs.settings import process_environment, settings_from
from airflow_pachy.pfs.targets import as_commit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from sqlalchemy.orm import Session

    from airflow_pachy.metadata import Metadata
    from airflow_pachy.metadata.glance import CommitGlance
    from airflow_pachy.pfs import files, handle, lookups, open_commits, puts, record_mirrors, stored_chunks
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.content import ContentWriter
    from airflow_pachy.pfs.content import writer as content_writer
    from airflow_pachy.pfs.files import Files
    from airflow_pachy.pfs.handle import Commit
    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.open_commits import OpenCommits
    from airflow_pachy.pfs.puts import Puts
    from airflow_pachy.pfs.settings import PfsSettings
    from airflow_pachy.pfs.targets import CommitLike
    from airflow_pachy.pfs.tree import Tree
else:
    # Most need SQLAlchemy, and a client that only reads may do without: see `airflow_pachy.metadata.glance`.
    content_writer = LazyModule("airflow_pachy.pfs.content.writer")
    files = LazyModule("airflow_pachy.pfs.files")
    handle = LazyModule("airflow_pachy.pfs.handle")
    lookups = LazyModule("airflow_pachy.pfs.lookups")
    open_commits = LazyModule("airflow_pachy.pfs.open_commits")
    puts = LazyModule("airflow_pachy.pfs.puts")
    record_mirrors = LazyModule("airflow_pachy.pfs.record_mirrors")
    stored_chunks = LazyModule("airflow_pachy.pfs.stored_chunks")


@guard
class Client:
    """One open root. What users call is in the classes of this package that derive from it, one per noun."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        guard(cls)

    def __init__(self, root: Root) -> None:
        self._root = root
        root.metadata.on_commit(self._before_commit, self._after_commit)
        self._making = threading.Lock()
        self._opened: OpenCommits | None = None

    @classmethod
    def open(
        cls,
        storage: str | None = None,
        metadata: str | None = None,
        s3: Mapping[str, Any] | None = None,
        principal: str | None = None,
        *,
        pooled: bool = True,
        store: ObjectStore | None = None,
    ) -> Self:
        """Connect to a store and its database, by default those of the `PACHY_*` variables or the embedded ones.

        An empty store and an empty database are made ready on first use. `pooled=False` keeps no idle database
        connections, for short-lived tasks. `store` is the one at `storage`, if it is open
        already; it is closed with the client. `principal` is who asks, as in `user:ada`, perhaps followed by the groups
        it belongs to (`user:ada,group:research`); without one, an administrator. Raises `StoreDenied`, `StoreUnfit`,
        `StoreUnavailable`, `MetadataUnavailable`, `SchemaMismatch`, `InvalidArgument`.
        """
        settings = settings_from(process_environment(), storage=storage, metadata=metadata, s3=s3, principal=principal)
        caller, groups = parse_caller(settings.principal)
        try:
            database = open_metadata(settings.metadata, pooled=pooled)
        except BaseException:
            if store is not None:
                store.close()
            raise
        try:
            if store is None:
                store = open_store(settings.storage, s3=settings.s3)
            try:
                ensure_format(store)
            except BaseException:
                store.close()
                raise
        except BaseException:
            database.close()
            raise
        kept = _with_copies(store, settings)
        return cls(Root(store, database, ContentReader(store), caller, groups, settings.s3, kept))

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

    def acting_as(self, *identities: str) -> Self:
        """The same root for the same principal, which may also do what these identities (`pipeline:edges`) may.

        The original is the one to close. An administrator needs nobody else's rights, so gets the same client.
        """
        root = self._root
        if root.principal is None:
            return self
        known = [check_principal(one) for one in identities]
        return type(self)(replace(root, groups=tuple(dict.fromkeys([*root.groups, *known]))))

    # For the layers above

    @property
    def store(self) -> ObjectStore:
        """The object store."""
        return self._root.store

    @property
    def nodes(self) -> ObjectStore:
        """The same for who reads and writes trees: with copies of their nodes on this machine, if there are any."""
        return self._root.nodes

    @property
    def metadata(self) -> Metadata:
        """The metadata database."""
        return self._root.metadata

    @property
    def s3_settings(self) -> Mapping[str, Any]:
        """How the store's S3 service is reached, if it is one; names as in `S3Settings`."""
        return self._root.s3

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
        return content_writer.ContentWriter(self._root.store, shared=stored_chunks.StoredChunks(self._root.metadata))

    def tree(self, commit: CommitLike) -> Tree:
        """The files of a commit; of an open one, as they are at this moment."""
        return self._files(as_commit(self._root, commit)).tree

    @property
    def opened(self) -> OpenCommits:
        """The open commits that this client has touched."""
        with self._making:
            if self._opened is None:
                self._opened = open_commits.OpenCommits(self._root)
            return self._opened

    # Within

    @property
    def _puts(self) -> Puts:
        return puts.Puts(self._root, lambda: self.opened)

    def _before_commit(self, session: Session) -> None:
        record_mirrors.RecordMirrors(self._root.store, self._root.metadata).before_commit(session)

    def _after_commit(self, session: Session) -> None:
        record_mirrors.RecordMirrors(self._root.store, self._root.metadata).after_commit(session)

    def _handle(self, commit_id: str, *, buffered: bool) -> Commit:
        with self._root.metadata.reader() as session:
            return handle.Commit(cast("Pfs", self), lookups.find_commit_by_id(session, commit_id), buffered=buffered)

    def _files(self, address: Address) -> Files:
        if (seen := self._glance(address)) is not None:
            return files.Files(self._root.tree(seen.tree), f"{seen.repo}@{seen.id}", self._root.reader)
        with self._root.metadata.reader() as session:
            row = lookups.require_data(lookups.find_commit(session, address))
        tree = self.opened.tree(row) if row.state == "open" else self._root.tree(row.tree)
        return files.Files(tree, f"{row.repo}@{row.id}", self._root.reader)

    def _parent_files(self, address: Address) -> Files:
        seen = self._glance(address)
        if seen is not None and seen.parent is not None:
            return self._files(Address(seen.repo, seen.parent))
        with self._root.metadata.reader() as session:
            row = lookups.find_commit(session, address)
            parent = lookups.require_data(lookups.find_commit_by_id(session, row.parent)) if row.parent else None
        tree = self._root.tree(parent.tree if parent else None)
        return files.Files(tree, f"{row.repo}@{row.parent}" if row.parent else f"{row.repo}@nothing", self._root.reader)

    def _glance(self, address: Address) -> CommitGlance | None:
        """The closed commit that an address names, if that can be told without a session."""
        glance = self._root.metadata.glance
        if glance is None or address.ancestry:
            return None
        if address.is_commit_id:
            return glance.commit(address.repo, address.ref)
        return glance.commit_of_branch(address.repo, address.ref)


def _with_copies(store: ObjectStore, settings: PfsSettings) -> ObjectStore:
    """The store to read and write trees with: what is far away is kept on this machine, too."""
    if settings.cache is None or not store.url.startswith("s3://"):
        return store
    from airflow_pachy.pfs.objects.kept import with_copies

    return with_copies(store, settings.cache, settings.cache_bytes)
