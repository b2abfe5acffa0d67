"""The versioned file system: repos, branches, commits, files, provenance, on an object store and an SQL database.

Names load on first use, so that the storage stack below (`pfs.objects`, `pfs.tree`, `pfs.content`) can be
imported where there is no SQLAlchemy, and a DAG file pays for none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.pfs.address import Address, parse_address
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pfs.infos import BranchInfo, CommitInfo, Diff, FileInfo, RepoInfo, TagInfo
    from airflow_pachy.pfs.triggers import Trigger

_HOMES = {
    "Address": "address",
    "BranchInfo": "infos",
    "CommitInfo": "infos",
    "Diff": "infos",
    "FileInfo": "infos",
    "Pfs": "client",
    "RepoInfo": "infos",
    "TagInfo": "infos",
    "Trigger": "triggers",
    "parse_address": "address",
}

__all__ = [
    "Address",
    "BranchInfo",
    "CommitInfo",
    "Diff",
    "FileInfo",
    "Pfs",
    "RepoInfo",
    "TagInfo",
    "Trigger",
    "parse_address",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
