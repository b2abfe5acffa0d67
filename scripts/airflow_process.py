"""A private `airflow standalone` for the demo and for tests: start it, wait for it, end all of it.

`airflow standalone` leaves its scheduler and API server behind when it alone is told to stop, so it runs in a
session of its own and the whole process group is ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

READY_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 8.0


def free_port(preferred: int = 0) -> int:
    """`preferred` if nothing listens there, else any free port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])


def airflow_environment(home: Path, dags: Path, *, port: int) -> dict[str, str]:
    """The environment of a small, quick, single-user Airflow on SQLite, all of it under `home`, on loopback only."""
    scripts = str(Path(sys.executable).parent)
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__PARALLELISM": "4",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        # Two cores and nobody else: look for work often instead of once a second.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "LOGGING__LOGGING_LEVEL": "WARNING",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
    }
    environment = {f"AIRFLOW__{key}": value for key, value in settings.items()}
    environment["AIRFLOW_HOME"] = str(home)
    environment["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    environment["PYTHONWARNINGS"] = "ignore"
    return environment


class Airflow:
    """`airflow standalone` as a context manager."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._environment = os.environ | environment
        self._url = environment["AIRFLOW__API__BASE_URL"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["airflow", "standalone"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for sign, patience in ((signal.SIGTERM, STOP_TIMEOUT_SECONDS), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
                if sign == signal.SIGTERM:
                    time.sleep(0.5)

    @property
    def session(self) -> int:
        """The id of the session that its processes are in, whatever their process groups; 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    def check(self) -> None:
        """Exit with the end of the log when Airflow has died."""
        if self._process is not None and self._process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
            sys.exit(f"Airflow ended by itself. The end of {self.log}:\n{tail}")

    def wait(self) -> None:
        """Until Airflow ends by itself or the user interrupts."""
        if self._process is not None:
            self._process.wait()

    def wait_until_ready(self) -> None:
        """Until the API server answers and scheduler, triggerer and DAG processor report healthy."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if self._healthy():
                return
            time.sleep(0.3)
        sys.exit(f"Airflow was not ready after {READY_TIMEOUT_SECONDS:.0f} s; see {self.log}")

    def wait_until_idle(self) -> None:
        """Until no DAG run is queued or running, so that stopping Airflow interrupts nothing."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if self._get("/api/v2/dags/~/dagRuns?state=running&state=queued&limit=1")["total_entries"] == 0:
                return
            time.sleep(0.3)

    def _healthy(self) -> bool:
        try:
            health = self._get("/api/v2/monitor/health")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("scheduler", "triggerer", "dag_processor"))

    def _get(self, path: str) -> Any:
        # All users are administrators here, so the token endpoint gives one to anybody on this machine.
        with urllib.request.urlopen(f"{self._url}/auth/token", timeout=5) as answer:
            token = json.load(answer)["access_token"]
        request = urllib.request.Request(f"{self._url}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)
