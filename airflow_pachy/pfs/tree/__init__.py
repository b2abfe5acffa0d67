"""The versioned tree: a sorted, immutable index of one commit's files.

Names load on first use: a pipeline spec needs globs and entries, and is read by DAG files, which must not
pay for pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import exports

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.cache import NodeCache
    from airflow_pachy.pfs.tree.changes import sorted_changes
    from airflow_pachy.pfs.tree.diffing import TreeDiff
    from airflow_pachy.pfs.tree.entries import Change, Content, Entry, Put, Remove, Segment
    from airflow_pachy.pfs.tree.found import Directory, File
    from airflow_pachy.pfs.tree.glob import Glob, compile_glob
    from airflow_pachy.pfs.tree.refs import NodeRef
    from airflow_pachy.pfs.tree.splitter import Layout
    from airflow_pachy.pfs.tree.view import Tree

__all__ = [
    "Change",
    "Content",
    "Directory",
    "Entry",
    "File",
    "Glob",
    "Layout",
    "NodeCache",
    "NodeRef",
    "Put",
    "Remove",
    "Segment",
    "Tree",
    "TreeDiff",
    "compile_glob",
    "sorted_changes",
]

_HOMES = {
    "Change": "entries",
    "Content": "entries",
    "Directory": "found",
    "Entry": "entries",
    "File": "found",
    "Glob": "glob",
    "Layout": "splitter",
    "NodeCache": "cache",
    "NodeRef": "refs",
    "Put": "entries",
    "Remove": "entries",
    "Segment": "entries",
    "Tree": "view",
    "TreeDiff": "diffing",
    "compile_glob": "glob",
    "sorted_changes": "changes",
}

__getattr__, __dir__ = exports(__name__, _HOMES)
