"""What callers may pass as an address: text, an `Address`, or any value that knows its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from airflow_pachy.errors import InvalidAddress
from airflow_pachy.pfs.address import Address, parse_address
from airflow_pachy.pfs.names import is_commit_id
from airflow_pachy.pfs.paths import clean_file_path

if TYPE_CHECKING:
    from airflow_pachy.pfs.handle import Commit
    from airflow_pachy.pfs.infos import BranchInfo, CommitInfo
    from airflow_pachy.pfs.root import Root

CommitLike: TypeAlias = "str | Address | CommitInfo | BranchInfo | Commit"


def as_address(root: Root, value: CommitLike) -> Address:
    """Any address. The bare id of a commit will do for its address, unless a repo has that name."""
    if isinstance(value, Address):
        return value
    text = str(value)
    if "@" not in text.partition(":")[0] and is_commit_id(text.partition(":")[0]):
        from airflow_pachy.metadata.models import Commit as CommitRow
        from airflow_pachy.metadata.models import Repo

        commit_id, colon, path = text.partition(":")
        with root.metadata.reader() as session:
            row = None if session.get(Repo, commit_id) else session.get(CommitRow, commit_id)
        if row is not None:
            return parse_address(f"{row.repo}@{commit_id}{colon}{path}")
    return parse_address(text)


def as_commit(root: Root, value: CommitLike) -> Address:
    """The address of a commit or branch; raises `InvalidAddress` if it has a path."""
    address = as_address(root, value)
    if address.path is not None:
        raise InvalidAddress(f"{address} names a path; here a commit or branch is meant: {address.commit}")
    return address


def as_file(root: Root, value: str | Address) -> Address:
    """An address whose path can be a file's; raises `InvalidPath` for the root or a path that ends in a slash."""
    address = as_path(root, value)
    clean_file_path("" if address.path == "" else f"/{address.path}{'/' if str(value).endswith('/') else ''}")
    return address


def as_path(root: Root, value: str | Address) -> Address:
    """An address with a path; raises `InvalidAddress` without one."""
    address = as_address(root, value)
    if address.path is None:
        raise InvalidAddress(f"{address} names no path; write {address}:/path")
    return address
