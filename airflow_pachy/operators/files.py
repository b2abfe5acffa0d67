"""Single actions on files: put and copy, each one commit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.failures import short_errors
from airflow_pachy.pfs.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class PfsPutOperator(BaseOperator):
    """Put a text, a local file, a directory or a URL at `destination` (`repo@branch:/path`), in a commit of its own.

    Exactly one of `data`, `source_path` (on the worker) and `url` is given. `source_conn_id` is the connection with the
    credentials for `url`. XCom: the commit's address.
    """

    template_fields: Sequence[str] = ("destination", "data", "source_path", "url", "source_conn_id")

    def __init__(
        self,
        *,
        destination: str,
        data: str | None = None,
        source_path: str | None = None,
        url: str | None = None,
        append: bool = False,
        recursive: bool = False,
        source_conn_id: str | None = None,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if sum(source is not None for source in (data, source_path, url)) != 1:
            raise InvalidArgument(f"PfsPutOperator {self.task_id!r}: give exactly one of data, source_path and url")
        self.destination = destination
        self.data = data
        self.source_path = source_path
        self.url = url
        self.append = append
        self.recursive = recursive
        self.source_conn_id = source_conn_id
        self.pfs_conn_id = pfs_conn_id

    def execute(self, context: Context) -> str:  # noqa: ARG002 - the signature is Airflow's
        """Put it."""
        from airflow_pachy.hooks.pfs import PfsHook

        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            if self.url is not None:
                options = self._source_options()
                pfs.put_url(self.destination, self.url, recursive=self.recursive, append=self.append, options=options)
            elif self.source_path is not None and Path(self.source_path).is_dir():
                pfs.put_dir(self.destination, Path(self.source_path), append=self.append)
            else:
                data = Path(self.source_path) if self.source_path is not None else str(self.data)
                pfs.put_file(self.destination, data, append=self.append)
            return str(pfs.inspect_commit(str(parse_address(self.destination).commit)))

    def _source_options(self) -> dict[str, Any]:
        if self.source_conn_id is None:
            return {}
        from airflow.sdk import BaseHook

        from airflow_pachy.hooks.sources import source_options

        return source_options(BaseHook.get_connection(self.source_conn_id), BaseHook.get_connection)


class PfsCopyOperator(BaseOperator):
    """Copy a file or directory between paths, branches and repos without moving bytes. XCom: the commit's address."""

    template_fields: Sequence[str] = ("source", "destination")

    def __init__(
        self,
        *,
        source: str,
        destination: str,
        append: bool = False,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.destination = destination
        self.append = append
        self.pfs_conn_id = pfs_conn_id

    def execute(self, context: Context) -> str:  # noqa: ARG002 - the signature is Airflow's
        """Copy it."""
        from airflow_pachy.hooks.pfs import PfsHook

        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            pfs.copy_file(self.source, self.destination, append=self.append)
            return str(pfs.inspect_commit(str(parse_address(self.destination).commit)))
