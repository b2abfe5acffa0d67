"""Moving a branch: promotion, rollback and deferred processing as a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.operators.stage import address_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class PfsBranchOperator(BaseOperator):
    """Point `branch` at `head`, creating it if need be: `images@master` at `images@staging` or `images@<id>`.

    `head` may also be what a stage has published (`edges.output`).

    DAGs that watch the branch start, as after a commit. XCom: the address of the commit it points at.
    """

    template_fields: Sequence[str] = ("branch", "head")

    def __init__(self, *, branch: str, head: Any, pfs_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.branch = branch
        self.head = head
        self.pfs_conn_id = pfs_conn_id

    def execute(self, context: Context) -> str:  # noqa: ARG002 - the signature is Airflow's
        """Move it."""
        from airflow_pachy.hooks.pfs import PfsHook

        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            info = pfs.create_branch(self.branch, head=address_of(self.head))
            return f"{info.repo}@{info.head}"
