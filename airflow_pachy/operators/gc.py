"""Garbage collection as a task, for a DAG that looks after the root."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.failures import short_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

_LOG_EVERY = 100_000


class PfsGcOperator(BaseOperator):
    """Delete objects that nothing needs any more; unlike the command and `Pfs.gc`, this is no dry run by default.

    `max_age` is how long open commits and jobs may go without a sign of life before they are given up.
    `keep_last` and `keep_days` are the retention of repos without one of their own. XCom: how many objects and bytes
    were deleted, are live and wait, how many commits were forgotten, and the name of the run, under which the bucket
    keeps the list of what was deleted.
    """

    template_fields: Sequence[str] = ("keep_last", "keep_days")

    def __init__(
        self,
        *,
        dry_run: bool = False,
        grace: timedelta = timedelta(days=7),
        max_age: timedelta = timedelta(days=3),
        keep_last: int | None = None,
        keep_days: int | None = None,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.only_report = dry_run
        self.grace = grace
        self.max_age = max_age
        self.keep_last = keep_last
        self.keep_days = keep_days
        self.pfs_conn_id = pfs_conn_id

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the signature is Airflow's
        """Collect."""
        from airflow_pachy.hooks.pfs import PfsHook

        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            report = pfs.gc(
                dry_run=self.only_report,
                grace=self.grace,
                max_age=self.max_age,
                keep_last=_number(self.keep_last),
                keep_days=_number(self.keep_days),
                progress=self._heard(),
            )
        for one in report.usage:
            self.log.info(
                "%s %s of repo %s: %d objects, %d bytes",
                one.fate,
                one.kind,
                one.repo or "-",
                one.objects,
                one.size_bytes,
            )
        return {
            "run": report.run,
            "dry_run": report.dry_run,
            "deleted_objects": report.condemned_objects,
            "deleted_bytes": report.condemned_bytes,
            "live_bytes": report.live_bytes,
            "waiting_bytes": report.size_bytes("waiting") + report.size_bytes("young"),
            "dead_bytes": report.dead_bytes,
            "forgotten_commits": len(report.forgotten),
            "expired_commits": list(report.expired),
            "expired_jobs": list(report.expired_jobs),
        }

    def _heard(self) -> Any:
        """Long runs say now and then that they live."""
        done: dict[str, int] = {}

        def hear(phase: str, count: int) -> None:
            before = done.get(phase, 0)
            done[phase] = before + count
            if before // _LOG_EVERY != done[phase] // _LOG_EVERY:
                self.log.info("%s: %d objects", phase, done[phase])

        return hear


def _number(value: int | str | None) -> int | None:
    """A template gives text."""
    return None if value is None or value in ("", "None") else int(value)
