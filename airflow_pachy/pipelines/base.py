"""What a job's output is built on: the last job that published on its output branch.

An output branch belongs to one pipeline. If its head is somebody else's commit, building on it would
silently undo their work or ours, so that is a conflict that a person resolves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_pachy.errors import Conflict
from airflow_pachy.metadata.models import Branch, Commit, Job

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs


@dataclass(frozen=True, slots=True)
class Base:
    """The branch's head and what the job that made it left behind, as NodeRef texts; all None on an empty branch."""

    head: str | None = None
    job: str | None = None
    tree: str | None = None
    datums: str | None = None
    parts: str | None = None


def find_base(pfs: Pfs, pipeline: str, repo: str, branch: str) -> Base:
    """The base of the next output of `pipeline` on `repo@branch`. Raises `Conflict` if the head is not its work."""
    with pfs.metadata.reader() as session:
        head = session.scalar(select(Branch.head).where(Branch.repo == repo, Branch.name == branch))
        if head is None:
            return Base()
        commit = session.get_one(Commit, head)
        job = session.get(Job, commit.job) if commit.job else None
    if job is None or job.state != "success" or job.output_commit != head or job.pipeline != pipeline:
        maker = f"by pipeline {job.pipeline!r}" if job else f"by {commit.author or 'a user'}, outside any job"
        raise Conflict(
            f"the head of {repo}@{branch}, commit {head}, was made {maker}, but the branch is the output of pipeline "
            f"{pipeline!r}, which replaces whatever is there. Choose another output; or keep that commit on a branch "
            f"of its own (`pachy create branch {repo}@NAME --head {head}`) and give {repo}@{branch} back: point it "
            "at the pipeline's last commit with --head, or delete it to start anew"
        )
    return Base(head, job.id, commit.tree, job.datums, job.parts)
