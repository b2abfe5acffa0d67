"""`PfsEgressOperator`: copy a finished commit to a folder, a bucket or a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.operators.stage import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_pachy.hooks.settings import PachySettings
    from airflow_pachy.pipelines.egress import EgressTarget


class PfsEgressOperator(BaseOperator):
    """Copy the files of a commit to where other systems look for them. XCom: what was done.

    :param commit: `repo@branch` or `repo@commit`; or the XCom of a stage (`edges.output`).
    :param egress: a folder as a URL (`s3://bucket/dir`, `gs://...`, `file:///dir`), or the `egress` object of a
        pipeline spec: `{"sql_database": {"url": "postgresql://...", "file_format": {"type": "CSV"}}}`.
    :param egress_conn_id: connection with the target's credentials: an AWS connection for `s3://`, a database's for
        tables, one whose extra holds the arguments of the fsspec file system for other schemes. By default the
        store's own credentials, and what the URL says. A database's password may also be PACHYDERM_SQL_PASSWORD in
        the environment of Airflow's workers, or the secret that `sql_database` names, asked of Kubernetes.
    :param full: copy all files, also those that were copied before.
    :param kubernetes_conn_id: where that secret is, by default where datums run.

    Only what has changed since the last copy is written; a retry begins at the note of the last complete one.
    """

    template_fields: Sequence[str] = ("commit", "egress", "egress_conn_id", "kubernetes_conn_id")
    ui_color = "#f3e8fd"

    def __init__(
        self,
        *,
        commit: Any,
        egress: Mapping[str, Any] | str,
        egress_conn_id: str | None = None,
        full: bool = False,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        kubernetes_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.commit = commit
        self.egress = egress
        self.egress_conn_id = egress_conn_id
        self.full = full
        self.pfs_conn_id = pfs_conn_id
        self.kubernetes_conn_id = kubernetes_conn_id

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the signature is Airflow's
        """Copy."""
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.pipelines.egress import egress_commit, parse_egress

        target = parse_egress(self.egress, origin=f"egress of task {self.task_id!r}")
        hook = PfsHook(self.pfs_conn_id)
        with short_errors(), hook.get_conn() as pfs:
            options, password = self._credentials(target, hook.settings)
            report = egress_commit(
                pfs, address_of(self.commit), target, options=options, password=password, full=self.full
            )
        self.log.info(
            "Copied %s to %s: %d files, %d bytes, %d rows, %d deleted%s",
            *(report.commit, report.url, report.files, report.size_bytes, report.rows, report.deleted),
            f" (what differs from {report.since})" if report.since else "",
        )
        return {"commit": report.commit, "url": report.url, "files": report.files, "rows": report.rows}

    def _credentials(self, target: EgressTarget, settings: PachySettings) -> tuple[dict[str, Any], str | None]:
        """Options of the target's client, and the password of its database if the environment need not be asked."""
        if self.egress_conn_id is None:
            return {}, self._password_of_secret(target, settings)
        from airflow_pachy.hooks.aws import s3_settings
        from airflow_pachy.hooks.pfs import PfsHook

        connection = PfsHook.get_connection(self.egress_conn_id)
        if target.sql_database is not None:
            return {}, connection.password
        if target.url.startswith("s3:"):
            return s3_settings(connection), None
        extra = connection.extra_dejson
        if not extra:
            raise InvalidSpec(
                f"connection {self.egress_conn_id!r} has no extra; put the arguments of the file system of "
                f"{target.url!r} there, as JSON"
            )
        return extra, None

    def _password_of_secret(self, target: EgressTarget, settings: PachySettings) -> str | None:
        from airflow_pachy.pipelines.egress.tables import needs_password

        database = target.sql_database
        if database is None or database.secret is None or not needs_password(database):
            return None
        from airflow_pachy.operators.egress_secret import read_password

        return read_password(database.secret, settings, self.kubernetes_conn_id)
