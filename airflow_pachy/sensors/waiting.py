"""The two ways a sensor waits: a trigger in the triggerer, or pokes from a worker. Both look with the same function."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.failures import short_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.triggers.polling import PollingTrigger


class WaitingSensor(BaseSensorOperator):
    """Waits until `look` answers; the answer, a small dict, is the sensor's XCom.

    With `deferrable` (the default) no worker slot is held while waiting.
    """

    def __init__(
        self,
        *,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        deferrable: bool = True,
        poke_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.pfs_conn_id = pfs_conn_id
        self.deferrable = deferrable

    def look(self, pfs: Pfs) -> dict[str, Any] | None:
        """The answer, or None while there is none."""
        raise NotImplementedError

    def make_trigger(self) -> PollingTrigger:
        """The trigger that looks in the same way."""
        raise NotImplementedError

    def accept(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Check the answer and return the XCom; may fail the task."""
        return answer

    def execute(self, context: Context) -> Any:
        """Look once here; then wait."""
        if not self.deferrable:
            return super().execute(context)
        answer = self._look_once()
        if answer is None:
            timeout = timedelta(seconds=self.timeout)
            self.defer(trigger=self.make_trigger(), method_name="resume", timeout=timeout)
        return self.accept(answer or {})

    def poke(self, context: Context) -> bool | PokeReturnValue:  # noqa: ARG002 - the signature is Airflow's
        """Look once."""
        answer = self._look_once()
        return False if answer is None else PokeReturnValue(is_done=True, xcom_value=self.accept(answer))

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as above
        """The trigger has an answer, or gave up."""
        if event["status"] == "error":
            raise AirflowFailException(event["message"])
        return self.accept({name: value for name, value in event.items() if name != "status"})

    def _look_once(self) -> dict[str, Any] | None:
        from airflow_pachy.hooks.pfs import PfsHook

        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            return self.look(pfs)
