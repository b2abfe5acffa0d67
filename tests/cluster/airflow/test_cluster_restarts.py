"""A real Airflow with scheduler and LocalExecutor: how many pods it starts, and its processes killed while they run."""

import importlib.util
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import list_job_datums, list_jobs
from airflow_pachy.worker.records import read_set_results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
WORDS = {f"/{name}": name.encode() * 3 for name in "abcd"}
FOUND = "Reattaching to pod"
UPPERED = {path: content.upper() for path, content in WORDS.items()}
SETTINGS = {
    "CORE__PARALLELISM": "4",
    "LOGGING__LOGGING_LEVEL": "INFO",
    # On a busy machine Airflow's own requests take their time.
    "WORKERS__EXECUTION_API_TIMEOUT": "60",
    # A dead scheduler is noticed sooner than after half a minute.
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "12",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "4",
}


@pytest.fixture(scope="module")
def standalone():
    """The module that starts a whole Airflow; `scripts` is no package."""
    spec = importlib.util.spec_from_file_location("airflow_process", REPOSITORY / "scripts" / "airflow_process.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.READY_TIMEOUT_SECONDS = 400.0
    return module


@pytest.fixture
def gate(s3_pod_endpoint):
    """A server that pods ask whether they may go on: 404 until their gate is open. Yields its URL, and how to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path.strip("/") in opened else 404)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    opened = set()
    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{urlsplit(s3_pod_endpoint).hostname}:{server.server_port}", opened.add
    server.shutdown()
    server.server_close()


def processes(sessions):
    """Every process of these sessions, by id: its parent and its title. (Titles are written over the environment.)"""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            _state, parent, _group, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) in sessions:
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                found[int(entry.name)] = (int(parent), title)
    return found


def below(found, pid):
    """A process and its descendants."""
    children = [child for child, (parent, _title) in found.items() if parent == pid]
    return [pid, *(one for child in children for one in below(found, child))]


class Run:
    """The DAG run at hand, seen from outside."""

    def __init__(self, home, environment, cluster, pfs, session):
        self.home, self.environment, self.cluster, self.pfs, self.session = home, environment, cluster, pfs, session
        self.pods = set()
        self.most_capped = 0
        self.schedulers = []

    def processes(self):
        return processes({self.session, *(process.pid for process in self.schedulers)})

    def airflow(self, *words):
        done = subprocess.run(
            ["airflow", *words], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def said(self, *texts):
        """How many tries of the waiting task have said one of these."""
        logs = (self.home / "logs").glob("dag_id=restarts/run_id=*/task_id=waiting.datums/map_index=0/attempt=*.log")
        return sum(any(text in log for text in texts) for log in [path.read_text(errors="replace") for path in logs])

    def wait_for_next_try(self, disturb, *texts):
        before = self.said(*texts)
        disturb()
        self.wait(f"another try to say {texts}", lambda: self.said(*texts) > before)

    def wait(self, what, ready, seconds=200):
        deadline = time.monotonic() + seconds
        while not (answer := ready()):
            self.pods |= {pod.metadata.name for pod in self.running()}
            self.most_capped = max(self.most_capped, len(self.at_work("capped")))
            if time.monotonic() > deadline:
                logs = [f"{path}\n{path.read_text(errors='replace')[-3000:]}" for path in self.home.glob("**/*.log")]
                pytest.fail(f"waited in vain for {what}\n{self.processes()}\n" + "\n".join(logs))
            time.sleep(0.3)
        return answer

    def running(self, dag="restarts"):
        selector = f"pachy-job,dag_id={dag}"
        return self.cluster.core.list_namespaced_pod(self.cluster.namespace, label_selector=selector).items

    def at_work(self, dag):
        """The pods that have not ended, nor are about to."""
        pods = self.running(dag)
        return [
            pod for pod in pods if pod.status.phase in ("Pending", "Running") and not pod.metadata.deletion_timestamp
        ]

    def did(self, pod, text):
        with suppress(Exception):
            return text in self.cluster.logs(pod.metadata.name, "base")
        return False

    def busy_pods(self):
        """Both pods, once three of the four datums of each are done."""
        done = [pod for pod in self.running() if self.did(pod, "did c")]
        return done if len(done) == 2 else None

    def ended(self):
        return "success" in self.airflow("dags", "list-runs", "restarts", "--output", "plain")

    def jobs(self, dag="restarts"):
        return [job for job in list_jobs(self.pfs) if job.dag_id == dag]

    def of_title(self, text):
        return [pid for pid, (_parent, title) in self.processes().items() if text in title]

    def scheduler(self):
        """The scheduler's own process: the one whose parent is none of its kind."""
        found = self.processes()
        mine = {pid for pid, (_parent, title) in found.items() if "airflow scheduler" in title}
        return next((pid for pid in mine if found[pid][0] not in mine), None)

    def start_scheduler(self):
        log = (self.home / f"scheduler-{len(self.schedulers)}.log").open("wb")
        self.schedulers.append(
            subprocess.Popen(
                ["airflow", "scheduler"], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        )

    def kill_task(self):
        """Kill the process of the task that waits; the other one is in the triggerer."""
        (task,) = self.wait("the one task that waits", lambda: len(found := self.tasks()) == 1 and found)
        os.kill(task, signal.SIGKILL)

    def kill_scheduler_with_tasks(self):
        """As when the scheduler's container is killed, with its executor and the tasks in it."""
        for pid in below(self.processes(), self.scheduler()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.start_scheduler()

    def kill_scheduler_alone(self):
        """Its tasks live on until they learn that they are not wanted any more."""
        os.kill(self.scheduler(), signal.SIGKILL)
        self.start_scheduler()

    def tasks(self):
        """The processes that run the code of tasks."""
        return self.of_title("airflow worker -- 0")

    def close(self):
        """End what the schedulers have left behind; each task has a process group of its own."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.schedulers:
            process.wait()


@contextmanager
def started(standalone, home, environment):
    with standalone.Airflow(environment, home / "airflow.log") as airflow:
        airflow.wait_until_ready()
        yield airflow.session


def test_a_cap_on_pods_holds_and_killed_processes_lose_nothing_and_double_nothing(
    standalone, cluster, storage, connection_with, gate, tmp_path
):
    url, open_gate = gate
    home = tmp_path / "home"
    home.mkdir()
    metadata = f"sqlite:///{home}/pachy.db"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PACHY"))},
        **standalone.airflow_environment(home, HERE / "restart_dags", port=standalone.free_port()),
        **{f"AIRFLOW__{name}": value for name, value in SETTINGS.items()},
        "AIRFLOW_CONN_PACHY_DEFAULT": connection_with(metadata),
        "PYTHONPATH": str(REPOSITORY),
        "GATE_URL": url,
    }
    with Pfs.open(storage=storage["storage"], metadata=metadata, s3={"endpoint_url": storage["endpoint_url"]}) as pfs:
        pfs.create_repo("words")
        with pfs.commit("words@master") as commit:
            for path, content in WORDS.items():
                commit.put_file(path, content)
        with started(standalone, home, environment) as session:
            run = Run(home, environment, cluster, pfs, session)
            try:
                live_through(run, open_gate)
            finally:
                run.close()
        check(run)


def live_through(run, open_gate):
    run.airflow("dags", "trigger", "capped", "--run-id", "one")
    run.wait("as many pods as the cap allows", lambda: len(run.at_work("capped")) == 2)
    # While these two wait, the scheduler starts the sets of another DAG, so it could have started the others.
    run.airflow("dags", "trigger", "restarts", "--run-id", "one")
    pods = run.wait("two pods that have done three datums", run.busy_pods)
    open_gate("capped")
    run.wait("the end of the capped job", lambda: [job.state for job in run.jobs("capped")] == ["success"])
    assert {pod.metadata.labels["task_id"] for pod in pods} == {"waiting.datums", "deferred.datums"}

    run.wait_for_next_try(run.kill_task, FOUND)
    run.wait_for_next_try(run.kill_scheduler_with_tasks, FOUND)
    assert {pod.metadata.name for pod in pods} == run.pods, "each set has had one pod"
    # Here the old task may end its pod before the new one has found it.
    run.wait_for_next_try(run.kill_scheduler_alone, FOUND, "Created pod")
    open_gate("restarts")
    run.wait("the end", lambda: {job.state for job in run.jobs()} == {"success"})
    run.wait("the end of the run", run.ended)


LINK = re.compile(r"/dags/(.+)/runs/(.+)/tasks/(.+)/mapped/(\d+)\?try_number=\d+$")


def log_of(run, link):
    """What is on the page that a datum links to: the log of its task, try after try."""
    dag, run_id, task, index = LINK.search(link).groups()
    folder = run.home / "logs" / f"dag_id={dag}" / f"run_id={run_id}" / f"task_id={task}" / f"map_index={index}"
    return "".join(path.read_text(errors="replace") for path in sorted(folder.glob("attempt=*.log")))


def check(run):
    assert run.most_capped == 2, "never more sets than parallelism, although there are four"
    (capped,) = run.jobs("capped")
    assert (capped.state, capped.datums_processed) == ("success", len(WORDS))
    assert len(run.jobs()) == 2
    for job in run.jobs():
        output = f"{job.output_repo}@master"
        entries = run.pfs.tree(output).entries()
        assert {f"/{entry.path}": run.pfs.get_file(f"{output}:/{entry.path}") for entry in entries} == UPPERED
        datums = list(list_job_datums(run.pfs, job.id))
        assert [one.state for one in datums] == ["success"] * len(WORDS)
        for one in datums:
            assert f"pfs: datum {one.id} start" in log_of(run, one.log)
        results = Counter(one.datum for one in read_set_results(run.pfs.store, f"jobs/{job.id}/0001-000000"))
        assert sorted(results.values()) == [1] * len(WORDS), "every datum was done once"
