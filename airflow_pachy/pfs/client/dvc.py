"""DVC: what users call. (`put_url` takes `dvc://` URLs.)"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_pachy.pfs.client.base import Client
from airflow_pachy.pfs.targets import as_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.pfs.address import Address
    from airflow_pachy.pfs.dvc.export import DvcExport


class DvcVerbs(Client):
    """Give DVC projects what is in a repo."""

    def export_dvc(
        self,
        path: str | Address,
        directory: Path | str,
        *,
        remote: str | None = None,
        remote_url: str | None = None,
        name: str | None = None,
        jobs: int = 8,
        progress: Callable[[int, int], None] | None = None,
    ) -> DvcExport:
        """Write a `.dvc` file for a file or directory into a DVC project, and fill a remote: then `dvc pull` gets it.

        The remote is named, or at a URL (added to the project if it has none there), or the project's default one; only
        what it lacks is sent, `jobs` files at a time. `name` is what the data is called in the project, by default the
        last part of the path. `progress(files, bytes)` hears what was done since its last call. Raises `PathNotFound`,
        `InvalidArgument`, `Denied`, `Unavailable`.
        """
        from airflow_pachy.pfs.dvc.export import Wish, export_dvc

        address = as_address(self._root, path)
        wish = Wish(Path(directory), name, remote, remote_url, self._root.s3, jobs)
        return export_dvc(self._files(address), address.path or "", wish, progress)
