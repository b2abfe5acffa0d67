"""A private Airflow home, and a process in it that runs DAGs with `dag.test()`: the engine, without a scheduler."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_pachy.pfs import Pfs

REPOSITORY = Path(__file__).parents[2]
RUN_DAGS = REPOSITORY / "tests" / "integration" / "airflow" / "run_dags.py"


@dataclass
class Answer:
    """What came of one run."""

    state: str
    run_id: str
    tasks: dict
    xcoms: list
    log: str

    def states(self):
        return {name: task["state"] for name, task in self.tasks.items()}

    def xcom(self, task_id, key="return_value"):
        return next((value for task, name, value in self.xcoms if (task, name) == (task_id, key)), None)


class AirflowProcess:
    """Runs one DAG after the other in one process, whose start costs ten seconds."""

    def __init__(self, home, dags, environment):
        self.home, self.dags, self.environment = home, dags, environment
        self._answers = home / "answers.jsonl"
        self._answers.touch()
        self._log = home / "log.txt"
        self._process = subprocess.Popen(
            [sys.executable, RUN_DAGS, self._answers, dags],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=self._log.open("wb"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._count = 0

    def run(self, dag, timeout=240, logical_date=None, **conf):
        start = self._log.stat().st_size
        self._process.stdin.write(json.dumps({"dag": dag, "conf": conf, "logical_date": logical_date}) + "\n")
        self._process.stdin.flush()
        answer = self._wait(timeout)
        log = self._log.read_bytes()[start:].decode(errors="replace")
        assert "error" not in answer, f"{answer['error']}\n{log[-5000:]}"
        return Answer(log=log, **answer)

    def _wait(self, timeout):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            lines = self._answers.read_text().splitlines()
            if len(lines) > self._count:
                self._count += 1
                return json.loads(lines[-1])
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        log = self._log.read_text(errors="replace")
        raise AssertionError(f"no answer from Airflow (exit status {self._process.poll()}):\n{log[-5000:]}")

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def airflow_environment(home, dags, **extra):
    """The environment of an Airflow whose everything is under `home`."""
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
        "LOGGING__LOGGING_LEVEL": "INFO",
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PACHY"))},
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        **extra,
    }


def start_airflow(home, dags, **extra):
    """Migrate a fresh database under `home` and start the process."""
    environment = airflow_environment(home, dags, **extra)
    done = subprocess.run(
        ["airflow", "db", "migrate"], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return AirflowProcess(home, dags, environment)


@contextmanager
def embedded_store(airflow):
    """The store that comes with that Airflow, from this process."""
    folder = airflow.home / "pachy"
    folder.mkdir(exist_ok=True)
    with Pfs.open(storage=(folder / "objects").as_uri(), metadata=f"sqlite:///{folder}/pachy.db") as pfs:
        yield pfs
