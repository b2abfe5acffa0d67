"""The `pachy` connection as a `Pfs` client.

Works wherever Airflow connections do: tasks, triggers, the api-server's connection test. It never
touches Airflow's own database; the metadata database is ours, named by a URL.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_pachy.hooks.airflow_errors import AirflowNotFoundException
from airflow_pachy.hooks.principals import caller
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION, PachySettings, aws_connection_id, from_connection

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from airflow.sdk import Connection

    from airflow_pachy.pfs import Pfs


class PfsHook(BaseHook):
    """Opens the versioned file system that a connection describes.

    `PfsHook().get_conn()` is a context manager; leaving it closes store and database. Without a connection of the
    default id, the `PACHY_*` environment and then the embedded default under `$AIRFLOW_HOME/pachy` are used
    (unless `[pachy] require_connection` is set); any other id must exist.
    """

    conn_name_attr = "pfs_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "pachy"
    hook_name = "Pachy"

    def __init__(self, pfs_conn_id: str = DEFAULT_CONNECTION) -> None:
        super().__init__()
        self.pfs_conn_id = pfs_conn_id

    @cached_property
    def settings(self) -> PachySettings:
        """What the connection says. Raises `AirflowNotFoundException` when it is needed and missing."""
        try:
            connection = self.get_connection(self.pfs_conn_id)
        except AirflowNotFoundException as error:
            return self._without_connection(error)
        aws_id = aws_connection_id(connection)
        return from_connection(connection, self.get_connection(aws_id) if aws_id else None)

    async def load_settings(self) -> PachySettings:
        """The same for code on an event loop: must be awaited there before `settings` or `get_conn` are used."""
        try:
            connection = await self._connection_in_loop(self.pfs_conn_id)
        except AirflowNotFoundException as error:
            settings = self._without_connection(error)
        else:
            aws_id = aws_connection_id(connection)
            settings = from_connection(connection, await self._connection_in_loop(aws_id) if aws_id else None)
        self.__dict__["settings"] = settings
        return settings

    def get_conn(self, *, pooled: bool = False) -> Pfs:
        """A new client; the caller closes it (`with hook.get_conn() as pfs`). `pooled` keeps database connections."""
        from airflow_pachy.pfs import Pfs

        settings = self.settings
        return Pfs.open(
            storage=settings.storage,
            metadata=settings.metadata,
            s3=settings.s3 or None,
            principal=settings.principal and caller(settings.principal),
            pooled=pooled,
        )

    def test_connection(self) -> tuple[bool, str]:
        """Read from the store and the database; for the button of the connection form."""
        try:
            with self.get_conn() as pfs:
                repos = len(list(pfs.list_repos()))
        except Exception as error:  # noqa: BLE001 - the form shows whatever went wrong
            return False, f"{type(error).__name__}: {error}"
        return True, f"storage and metadata answer; {repos} repos"

    def _without_connection(self, error: AirflowNotFoundException) -> PachySettings:
        from airflow_pachy.hooks.airflow_config import conf

        required = conf.getboolean("pachy", "require_connection", fallback=False)
        if required or self.pfs_conn_id != self.default_conn_name:
            raise error
        where = os.environ.get("PACHY_STORAGE", "the embedded store")
        self.log.info("There is no connection %r: using the environment's settings, %s", self.pfs_conn_id, where)
        return PachySettings()

    def _connection_in_loop(self, conn_id: str) -> Awaitable[Connection]:
        if hasattr(self, "aget_connection"):
            return self.aget_connection(conn_id)
        # Before Airflow 3.2. In a plain thread the supervisor's channel would meet a foreign event loop;
        # asgiref brings the call back to ours.
        from asgiref.sync import sync_to_async

        return sync_to_async(self.get_connection)(conn_id)
