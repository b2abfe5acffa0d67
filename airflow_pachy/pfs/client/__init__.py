"""`Pfs`: the versioned file system as one object. Every method takes addresses and answers with plain values."""

from __future__ import annotations

from airflow_pachy.pfs.client.access import AccessVerbs
from airflow_pachy.pfs.client.branches import BranchVerbs
from airflow_pachy.pfs.client.commits import CommitVerbs
from airflow_pachy.pfs.client.dvc import DvcVerbs
from airflow_pachy.pfs.client.files import FileVerbs
from airflow_pachy.pfs.client.outputs import OutputVerbs
from airflow_pachy.pfs.client.repos import RepoVerbs
from airflow_pachy.pfs.client.transactions import TransactionVerbs
from airflow_pachy.pfs.client.upkeep import UpkeepVerbs


class Pfs(
    TransactionVerbs, RepoVerbs, BranchVerbs, CommitVerbs, FileVerbs, OutputVerbs, AccessVerbs, UpkeepVerbs, DvcVerbs
):
    """Repos, branches, commits and files of one root. Thread-safe; use `Pfs.open` and close it, or `with`."""
