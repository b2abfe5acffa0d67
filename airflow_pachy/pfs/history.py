"""The history of one path: the commits that changed it, at the cost of that path alone.

Neighbouring trees share all nodes but those on the way to what was changed, so comparing two of them at a path opens at
most one node per level, and none where the ids are equal.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.metadata.models import Commit
from airflow_pachy.pfs.ancestry import chain
from airflow_pachy.pfs.describe_files import describe_node
from airflow_pachy.pfs.tree import File, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.files import Files
    from airflow_pachy.pfs.infos import FileInfo
    from airflow_pachy.pfs.root import Root

_PAGE = 200


def file_history(root: Root, files: Files, commit_id: str, path: str, limit: int | None) -> Iterator[FileInfo]:
    """What is at `path` in each commit that changed it, newest first, back to where it came into being.

    `files` are those of the commit to begin with. A commit whose data was forgotten is passed over: what it changed
    shows at the commit after it. Raises `PathNotFound`, `InvalidArgument`.
    """
    if limit is not None and limit < 0:
        raise InvalidArgument(f"limit must be 0 or more, not {limit}")
    files.node(path)
    return islice(_versions(root, files, commit_id, path), limit)


def _versions(root: Root, files: Files, commit_id: str, path: str) -> Iterator[FileInfo]:
    newer, address = files.tree, files.commit
    for older, older_address in _trees_before(root, commit_id):
        if _changed(newer, older, path):
            yield _describe(newer, path, address)
            if older.stat(path) is None or (not path and older.root is None):
                return
        newer, address = older, older_address
    yield _describe(newer, path, address)


def _describe(tree: Tree, path: str, address: str) -> FileInfo:
    node = tree.stat(path)
    assert node is not None
    return describe_node(node, address)


def _changed(newer: Tree, older: Tree, path: str) -> bool:
    """Whether anything at or below the path differs."""
    if (newer.root.id if newer.root else None) == (older.root.id if older.root else None):
        return False
    if not path:
        return next(newer.diff(older, contents=False), None) is not None
    at = isinstance(newer.stat(path), File)
    first = next(newer.diff(older, path if at else f"{path}/", contents=False), None)
    return first is not None and (not at or first.path == path)


def _trees_before(root: Root, commit_id: str) -> Iterator[tuple[Tree, str]]:
    """The trees of a commit's ancestors with their addresses, nearest first. No session is open while one is used."""
    last = commit_id
    while True:
        with root.metadata.reader() as session:
            ids = chain(session, last, _PAGE)[1:]
            query = select(Commit.id, Commit.repo, Commit.tree).where(Commit.id.in_(ids), Commit.forgotten.is_(None))
            rows = {row.id: row for row in session.execute(query)}
        if not ids:
            return
        for one in ids:
            if one in rows:
                yield root.tree(rows[one].tree), f"{rows[one].repo}@{one}"
        last = ids[-1]
