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
    from airflow_pachy.pfs.diffs import DiffSummary
    from airflow_pachy.pfs.infos import BranchInfo, CommitInfo, Diff, FileInfo, RepoInfo, TagInfo
    from airflow_pachy.pfs.splitting import Split
    from airflow_pachy.pfs.tree.glob import Glob, compile_glob
    from airflow_pachy.pfs.triggers import Trigger

_HOMES = {
    "Address": "address",
    "BranchInfo": "infos",
    "CommitInfo": "infos",
    "Diff": "infos",
    "DiffSummary": "diffs",
    "FileInfo": "infos",
    "Glob": "tree.glob",
    "Pfs": "client",
    "RepoInfo": "infos",
    "Split": "splitting",
    "TagInfo": "infos",
    "Trigger": "triggers",
    "compile_glob": "tree.glob",
    "parse_address": "address",
}

__all__ = [
    "Address",
    "BranchInfo",
    "CommitInfo",
    "Diff",
    "DiffSummary",
    "FileInfo",
    "Glob",
    "Pfs",
    "RepoInfo",
    "Split",
    "TagInfo",
    "Trigger",
    "compile_glob",
    "parse_address",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
