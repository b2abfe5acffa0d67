"""The commits that jobs publish: for the layers above, not for users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.address import parse_branch
from airflow_pachy.pfs.client.base import Client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from airflow_pachy.pfs import oneshot, outputs
    from airflow_pachy.pfs.edits import Edit
    from airflow_pachy.pfs.tree import Tree
else:
    oneshot = LazyModule("airflow_pachy.pfs.oneshot")
    outputs = LazyModule("airflow_pachy.pfs.outputs")


class OutputVerbs(Client):
    """Open, mirror, publish or drop a job's output commit."""

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

    def commit_edit(self, branch: str, edit: Edit, *, description: str = "") -> str:
        """Make an edit as a commit of its own, whatever it changes, and return the commit's id.

        Raises `BranchMoved` when the branch has an open commit, `PathConflict`, `RepoNotFound`.
        """
        commit = oneshot.OneShot(self._root, parse_branch(branch), edit, description).run()
        assert commit is not None, "an edit that is not optional makes a commit"
        return commit

    def reopen_output_commit(self, commit_id: str) -> None:
        """Open a dropped output commit again, for the next attempt of its job; an open one stays as it is."""
        outputs.reopen_output_commit(self._root, commit_id)

    def mirror_commit(self, commit_id: str, tree: Tree | None = None, *, seen_head: str | None = None) -> datetime:
        """Write a commit's JSON copy; of an open one as publishing `tree` on `seen_head` is about to make it.

        Returns when it is finished by that copy: what `publish_output_commit` takes.
        """
        return outputs.mirror_output_commit(self._root, commit_id, tree, seen_head=seen_head)

    def publish_output_commit(
        self,
        session: Session,
        commit_id: str,
        tree: Tree,
        *,
        seen_head: str | None,
        finished: datetime | None = None,
    ) -> None:
        """Finish an output commit as the head of its branch, inside the caller's transaction; touches no object.

        Idempotent. Raises `BranchMoved` when the head is not `seen_head` any more.
        """
        outputs.publish_output_commit(
            session, commit_id, tree, seen_head=seen_head, author=self._root.principal, finished=finished
        )

    def drop_output_commit(self, commit_id: str, error: str) -> None:
        """Close an output commit that will not be published; its branch stays where it was."""
        outputs.drop_output_commit(self._root, commit_id, error)
