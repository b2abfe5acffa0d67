"""From entries of a tree to the values users get. What comes from the database is in `describe`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_pachy.pfs.infos import FileInfo
from airflow_pachy.pfs.paths import shown_path
from airflow_pachy.pfs.tree.found import Directory, File

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.entries import Entry


def describe_entry(entry: Entry, commit: str) -> FileInfo:
    """A file as users see it."""
    modified = datetime.fromtimestamp(entry.mtime_us / 1_000_000, UTC) if entry.mtime_us else None
    return FileInfo(
        path=shown_path(entry.path),
        type="file",
        size=entry.content.size_bytes,
        hash=entry.content.hash.hex(),
        commit=commit,
        executable=entry.executable,
        datum=entry.datum,
        modified=modified,
    )


def describe_node(node: File | Directory, commit: str, *, hash_: bytes | None = None) -> FileInfo:
    """A file or directory as users see it."""
    if isinstance(node, File):
        return describe_entry(node.entry, commit)
    return FileInfo(
        path=shown_path(node.path, directory=True),
        type="dir",
        size=node.size_bytes,
        hash=hash_.hex() if hash_ else None,
        commit=commit,
        file_count=node.file_count,
    )
