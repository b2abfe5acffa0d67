"""`PfsCommitSensor`: wait for a finished commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.pfs.address import parse_address
from airflow_pachy.sensors.waiting import WaitingSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.triggers.polling import PollingTrigger


class PfsCommitSensor(WaitingSensor):
    """Waits until `commit` is finished: `images@master`, `images@<id>` or with ancestry.

    With `newer_than`, a commit id, the head must be another one. XCom: `{"repo", "branch", "commit", "state"}`.
    Fails when the commit ended in an error, or the repo does not exist.
    """

    template_fields: Sequence[str] = ("commit", "newer_than")

    def __init__(self, *, commit: str, newer_than: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if "{{" not in commit:
            parse_address(commit)
        self.commit = commit
        self.newer_than = newer_than

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """See `look_for_commit`."""
        from airflow_pachy.triggers.conditions import look_for_commit

        return look_for_commit(pfs, self.commit, self.newer_than)

    def make_trigger(self) -> PollingTrigger:
        """See `PfsCommitStateTrigger`."""
        from airflow_pachy.triggers.conditions import PfsCommitStateTrigger

        return PfsCommitStateTrigger(
            address=self.commit,
            newer_than=self.newer_than,
            pfs_conn_id=self.pfs_conn_id,
            poll_interval=self.poke_interval,
        )

    def accept(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Fail for a commit that ended in an error."""
        if answer["state"] != "finished":
            raise AirflowFailException(f"commit {answer['repo']}@{answer['commit']} ended in state {answer['state']!r}")
        return answer
