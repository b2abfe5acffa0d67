"""`PfsFileSensor`: wait for files in a branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidAddress
from airflow_pachy.pfs.address import parse_address
from airflow_pachy.sensors.waiting import WaitingSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.triggers.polling import PollingTrigger


class PfsFileSensor(WaitingSensor):
    """Waits until at least `min_count` paths match `path`, an address with a glob: `images@master:/2024/*.png`.

    XCom: `{"paths": [...]}`, the first `min_count` of them.
    """

    template_fields: Sequence[str] = ("path",)

    def __init__(self, *, path: str, min_count: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if "{{" not in path and parse_address(path).path is None:
            raise InvalidAddress(f"{path!r} names no path: write repo@branch:/glob, for example {path}:/*")
        self.path = path
        self.min_count = min_count

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """See `look_for_files`."""
        from airflow_pachy.triggers.conditions import look_for_files

        return look_for_files(pfs, self.path, self.min_count)

    def make_trigger(self) -> PollingTrigger:
        """See `PfsFileTrigger`."""
        from airflow_pachy.triggers.conditions import PfsFileTrigger

        return PfsFileTrigger(
            address=self.path, min_count=self.min_count, pfs_conn_id=self.pfs_conn_id, poll_interval=self.poke_interval
        )
