"""Airflow through its REST API, with nothing but the standard library: a command's start must not wait for clients."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow_pachy.cli.airflow import URL_VARIABLE, NoAirflow, TaskTry, read_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from http.client import HTTPResponse

    from airflow_pachy.cli.airflow import LogLine

TIMEOUT_SECONDS = 60.0
NOT_FOUND, CONFLICT, METHOD_NOT_ALLOWED = 404, 409, 405
RUNNING = ("queued", "running", "deferred", "restarting", "up_for_retry", "up_for_reschedule", "scheduled")
_PAGE = 100
_SHOWN_BYTES = 500


class RestAirflow:
    """See `airflow_pachy.cli.airflow.Airflow`."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise NoAirflow(f"{URL_VARIABLE} is {url!r}; it must begin with http:// or https://")
        self._url = url.rstrip("/")

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[TaskTry]:
        """See `Airflow.tries`."""
        place = f"/api/v2/dags/{_word(dag_id)}/dagRuns/{_word(run_id)}/taskInstances"
        return sorted(
            TaskTry(dag_id, run_id, task_id, one["map_index"], number)
            for one in self._instances(place, task_id)
            for number in range(1, one["try_number"] + 1)
        )

    def _instances(self, place: str, task_id: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            query = urlencode({"task_id": task_id, "limit": _PAGE, "offset": offset})
            page = self._json("GET", f"{place}?{query}", missing={"task_instances": []})["task_instances"]
            # Versions of Airflow that do not know this filter give all tasks.
            yield from (one for one in page if one["task_id"] == task_id)
            offset += len(page)
            if len(page) < _PAGE:
                return

    def read_log(self, one: TaskTry) -> Iterator[LogLine]:
        """See `Airflow.read_log`."""
        place = f"/api/v2/dags/{_word(one.dag_id)}/dagRuns/{_word(one.run_id)}/taskInstances/{_word(one.task_id)}"
        query = urlencode({"map_index": one.map_index, "full_content": "true"})
        token = ""
        while True:
            more = f"&{urlencode({'token': token})}" if token else ""
            page = self._json(
                "GET",
                f"{place}/logs/{one.try_number}?{query}{more}",
                missing={"content": []},
                accept="application/json",
            )
            for document in page["content"]:
                if isinstance(document, dict) and (line := read_line(document)) is not None:
                    yield line
            token = page.get("continuation_token") or ""
            if not token or not page["content"]:
                return

    def clear(self, dag_id: str, run_id: str, tasks: Sequence[tuple[str, int]]) -> int:
        """See `Airflow.clear`."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task if index < 0 else [task, index] for task, index in tasks],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        answer = self._json("POST", f"/api/v2/dags/{_word(dag_id)}/clearTaskInstances", body)
        return int(answer["total_entries"])

    def end(self, dag_id: str, run_id: str, task_id: str) -> int:
        """End the unfinished instances of a task as failed; returns how many there were."""
        place = f"/api/v2/dags/{_word(dag_id)}/dagRuns/{_word(run_id)}/taskInstances"
        running = [one for one in self._instances(place, task_id) if one["state"] in RUNNING]
        for one in running:
            index = f"/{one['map_index']}" if one["map_index"] >= 0 else ""
            self._json("PATCH", f"{place}/{_word(task_id)}{index}", {"new_state": "failed"})
        return len(running)

    def trigger(self, dag_id: str, run_id: str | None, conf: Mapping[str, Any]) -> str:
        """See `Airflow.trigger`."""
        body = {"logical_date": None, "conf": dict(conf), **({"dag_run_id": run_id} if run_id else {})}
        try:
            return str(self._json("POST", f"/api/v2/dags/{_word(dag_id)}/dagRuns", body)["dag_run_id"])
        except _Refused as error:
            if error.status == CONFLICT and run_id:
                return run_id
            raise

    def _json(
        self, method: str, path: str, body: Any = None, *, missing: Any = None, accept: str = "application/json"
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        try:
            return _read(self._url + path, method, body, headers)
        except _Refused as error:
            if missing is not None and error.status == NOT_FOUND:
                return missing
            raise

    @cached_property
    def _token(self) -> str:
        if token := os.environ.get("PACHY_AIRFLOW_TOKEN"):
            return token
        user, password = os.environ.get("PACHY_AIRFLOW_USER"), os.environ.get("PACHY_AIRFLOW_PASSWORD")
        place = f"{self._url}/auth/token"
        try:
            if user:
                return str(_read(place, "POST", {"username": user, "password": password or ""})["access_token"])
            # An Airflow where everybody is administrator gives one to whoever asks.
            return str(_read(place, "GET")["access_token"])
        except _Refused as error:
            raise NoAirflow(
                f"Airflow at {self._url} gave no token ({error}); set PACHY_AIRFLOW_TOKEN, or PACHY_AIRFLOW_USER and "
                "PACHY_AIRFLOW_PASSWORD"
            ) from error


class _Refused(NoAirflow):
    """An answer that is an error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _read(url: str, method: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)  # the token is for this server, not for whom it points to
    answer: HTTPResponse
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise _Refused(f"Airflow refused {method} {url}: {error.code} {_detail(error)}", error.code) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NoAirflow(f"Airflow at {url} does not answer ({reason}); check {URL_VARIABLE}") from error


def _detail(error: urllib.error.HTTPError) -> str:
    """What the API says of an error, else its reason."""
    body = error.read(1 << 16).decode(errors="replace")
    try:
        said = json.loads(body).get("detail")
    except (ValueError, AttributeError):
        said = body
    return str(said or error.reason)[:_SHOWN_BYTES]


def _word(text: str) -> str:
    return quote(text, safe="")
