"""A stage without a whole Airflow: jobs are planned and assembled here, sets run by the operator as tasks run it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pipelines import JobPlan, JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.worker.plan import read_plan
from airflow_pachy.worker.records import DatumResult, read_set_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMALL = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "96Mi", "ephemeral-storage": "200Mi"}}


@dataclass
class Ended:
    """How a task ended: what it raised, if anything, and its log."""

    error: Exception | None
    log: list[str]

    @property
    def text(self) -> str:
        return "\n".join([*self.log, f"{type(self.error).__name__}: {self.error}" if self.error else "success"])

    @property
    def final(self) -> bool:
        """Whether Airflow would not try again."""
        return type(self.error).__name__ == "AirflowFailException"


@dataclass
class Job:
    """One planned job of the stage."""

    stage: Stage
    plan: JobPlan
    arguments: dict[str, Any]
    number: int

    @property
    def key(self) -> str:
        (key,) = self.plan.sets
        return key

    def pods(self) -> list[Any]:
        selector = f"pachy-job={self.plan.job_id.lower()}"
        cluster = self.stage.cluster
        return cluster.core.list_namespaced_pod(cluster.namespace, label_selector=selector).items

    def wait_for_pod(self, ready: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            for pod in self.pods():
                if ready(pod):
                    return pod
            time.sleep(0.2)
        pytest.fail(f"no such pod: {[(pod.metadata.name, pod.status.phase) for pod in self.pods()]}")

    def wait_for_line(self, text: str, container: str = "base") -> Any:
        """The pod, once a container of it has written a text."""

        def written(pod: Any) -> bool:
            with suppress(Exception):
                return text in self.stage.cluster.logs(pod.metadata.name, container)
            return False

        return self.wait_for_pod(written)

    def run(self, try_number: int = 1, key: str | None = None, **changed: Any) -> Ended:
        """Run a set as Airflow runs its task."""
        return self.stage.run_task(key or self.key, {**self.arguments, **changed}, try_number)

    def run_while(self, disturb: Callable[[Job], Any], **arguments: Any) -> Ended:
        """Run the job's set, and disturb it meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(copy_context().run, lambda: self.run(**arguments))
            disturb(self)
            return running.result()

    def results(self) -> list[DatumResult]:
        """Every record of the job's sets."""
        store = self.stage.pfs.store
        plans = [read_plan(store, key) for key in self.plan.sets]
        return [result for plan in plans for result in read_set_results(store, plan.results_prefix)]

    def assemble(self) -> dict[str, bytes]:
        """Publish, and read the files of the output."""
        assemble_job(self.stage.pfs, self.plan.job_id)
        return self.stage.output(self.number)


@dataclass
class Stage:
    """A repo of words, and jobs on it."""

    cluster: Any
    pfs: Pfs
    lines: LinesByTask
    count: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    operators: dict[str, Any] = field(default_factory=dict)  # the newest of each set, by its key

    def repo(self, name: str, files: dict[str, bytes]) -> None:
        self.pfs.create_repo(name)
        with self.pfs.commit(f"{name}@master") as commit:
            for path, body in files.items():
                commit.put_file(path, body)

    def job(self, script: str = "", image: str = "busybox:local", **details: Any) -> Job:
        """Plan a job with one set; `details` are fields of the spec, `task` has arguments of the operator."""
        number = next(self.count)
        task = details.pop("task", {})
        transform = {"image": image, "cmd": ["sh", "-ec", script], **details.pop("transform", {})}
        document = {
            "pipeline": {"name": f"out{number}"},
            "transform": transform,
            "input": {"pfs": {"repo": details.pop("repo", "words"), "glob": "/*"}},
            "datum_set_spec": {"number": 1000},
            "datum_tries": 1,
            **details,
        }
        spec = PipelineSpec.from_dict(document)
        plan = plan_job(self.pfs, JobRequest(spec, f"dag{number}", f"run-{secrets.token_hex(3)}", "stage", max_sets=1))
        arguments = {"image": image, "container_resources": SMALL, "deferrable": False, **task}
        return Job(self, plan, arguments, number)

    def output(self, number: int) -> dict[str, bytes]:
        found = self.pfs.walk_file(f"out{number}@master:/")
        return {one.path: self.pfs.get_file(f"out{number}@master:{one.path}") for one in found if one.type == "file"}

    def run_task(self, key: str, arguments: dict[str, Any], try_number: int) -> Ended:
        with self.lines.of_this_task() as lines:
            try:
                self._execute(*self._operator(key, arguments, try_number))
            except Exception as error:
                return Ended(error, lines)
        return Ended(None, lines)

    def _operator(self, key: str, arguments: dict[str, Any], try_number: int) -> tuple[Callable[[], Any], Any]:
        """What makes the operator of a task, and the task's context."""
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.operators.datum_set import DatumSetOperator
        from airflow_pachy.operators.datum_set_pod import DatumSetPodOperator

        arguments = dict(arguments)
        run_id = f"run-{key[5:21]}"
        ti = SimpleNamespace(
            try_number=try_number,
            dag_id="stage",
            task_id="datums",
            run_id=run_id,
            map_index=0,
            start_date=datetime.now(UTC),
        )
        context: Any = {"ti": ti, "run_id": run_id, "dag": SimpleNamespace(parent_dag=False)}
        pod = {"poll_interval": 0.5, **arguments.pop("pod", {})}
        connection = arguments.pop("pfs_conn_id", "pachy_default")
        task = DatumSetOperator(task_id="datums", plan_key=key, pfs_conn_id=connection, pod=pod, **arguments)

        # Airflow's own logger goes past handlers.
        logged = type("DatumSetPodOperator", (DatumSetPodOperator,), {"log": logging.getLogger("task")})

        def make() -> Any:
            self.operators[key] = logged.of_task(task, PfsHook(connection))
            return self.operators[key]

        return make, context

    def start_task(self, key: str, arguments: dict[str, Any], try_number: int = 1) -> Any:
        """Run a task until it defers, and forget about it; returns its operator."""
        from airflow.sdk.exceptions import TaskDeferred

        operator, context = self._operator(key, {**arguments, "deferrable": True}, try_number)
        with pytest.raises(TaskDeferred):
            operator().run(context)
        return operator

    def _execute(self, operator: Callable[[], Any], context: Any) -> None:
        """Let the task run, and play the triggerer for it when it defers."""
        from airflow.sdk.exceptions import TaskDeferred

        def go() -> None:
            operator().run(context)

        while True:
            try:
                go()
            except TaskDeferred as deferred:
                path, arguments = deferred.trigger.serialize()
                event = asyncio.run(_fire(path, arguments))

                def go(event: Any = event) -> None:
                    operator().resume(context, event)

            else:
                return


async def _fire(path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What the trigger says, made anew from its serialised form as the triggerer does."""
    from airflow_pachy.triggers.pods import DatumSetPodTrigger

    assert path == "airflow_pachy.triggers.pods.DatumSetPodTrigger"
    async for event in DatumSetPodTrigger(**json.loads(json.dumps(arguments, default=str))).run():
        return dict(event.payload)
    raise AssertionError("the trigger ended without an event")


REQUEST = re.compile(rb"([A-Z]+) \S+ HTTP/1\.1\r\n")
LOGGERS = ("task", "airflow_pachy.operators.pod_finding")
LINES: ContextVar[list[str] | None] = ContextVar("lines", default=None)


class LinesByTask(logging.Handler):
    """What is logged, by the task that does: each one of a test runs in a thread of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = LINES.get()
        if lines is not None:
            lines.append(record.getMessage())

    @contextmanager
    def of_this_task(self) -> Iterator[list[str]]:
        lines: list[str] = []
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.disabled = False  # Airflow sets logging up whenever a part of it is imported first
            logger.setLevel(logging.INFO)
            if self not in logger.handlers:
                logger.addHandler(self)
        token = LINES.set(lines)
        yield lines
        LINES.reset(token)


class Proxy:
    """A TCP proxy in front of a server, which a test can shut and open again, or have hang.

    `verbs` has the methods of the HTTP requests that went through.
    """

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        self._target = target
        self._host = host
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()
        self.port = 0
        self.verbs: set[str] = set()
        self._flows = threading.Event()
        self._flows.set()
        self.open()

    def open(self) -> None:
        listener = socket.create_server((self._host, self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def hang(self) -> None:
        """Accept connections and answer nothing, as a server does whose process is stopped."""
        self._flows.clear()

    def flow(self) -> None:
        """Go on with everything that has come in meanwhile, whoever still waits for it."""
        self._flows.set()

    def shut(self) -> None:
        """Refuse connections, and break those that are."""
        self._flows.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            for source, sink in ((client, server), (server, client)):
                self._sockets.add(source)
                arguments = (source, sink, source is client)
                threading.Thread(target=self._copy, args=arguments, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, is_request: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_request and (verb := REQUEST.match(data)):
                    self.verbs.add(verb[1].decode())
                self._flows.wait()
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.discard(source)
        source.close()


@pytest.fixture(scope="module")
def lines() -> Iterator[LinesByTask]:
    handler = LinesByTask()
    yield handler
    for name in LOGGERS:
        logging.getLogger(name).removeHandler(handler)


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def place(s3_bucket, tmp_path_factory) -> Iterator[dict[str, str]]:
    """Where this module's data and metadata are: nobody else's."""
    storage = f"s3://{s3_bucket}/faults/{secrets.token_hex(6)}"
    yield {"storage": storage, "metadata": f"sqlite:///{tmp_path_factory.mktemp('pachy')}/pachy.db"}
    store = open_store(storage, s3={"endpoint_url": os.environ["PACHY_TEST_S3_ENDPOINT"]})
    store.delete([info.key for info in store.list_keys()])
    store.close()


@pytest.fixture(scope="module")
def connect(environment, cluster, helper_image, place, s3_pod_endpoint) -> Callable[..., None]:
    """Define an Airflow connection to the data; `extra` changes what pods are told."""
    kubernetes = {"conn_type": "kubernetes", "extra": {"kube_config_path": os.environ["KUBECONFIG"]}}
    environment.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(kubernetes))
    environment.setenv("AIRFLOW__PACHY__KILL_GRACE_SECONDS", "1")

    def connect(name: str = "pachy_default", **extra: Any) -> str:
        settings = {
            **place,
            "endpoint_url": os.environ["PACHY_TEST_S3_ENDPOINT"],
            "worker_endpoint_url": s3_pod_endpoint,
            "namespace": cluster.namespace,
            "worker_secret": cluster.s3_secret,
            "helper_image": helper_image,
            **extra,
        }
        document = {
            "conn_type": "pachy",
            "login": os.environ["AWS_ACCESS_KEY_ID"],
            "password": os.environ["AWS_SECRET_ACCESS_KEY"],
            "extra": settings,
        }
        environment.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(document))
        return name

    connect()
    return connect


WORDS = {"/a": b"alpha\n", "/b": b"beta\n", "/c": b"gamma\n", "/d": b"delta\n"}


@pytest.fixture(scope="module")
def stage(connect, cluster, place, lines) -> Iterator[Stage]:
    s3 = {"endpoint_url": os.environ["PACHY_TEST_S3_ENDPOINT"]}
    with Pfs.open(storage=place["storage"], metadata=place["metadata"], s3=s3) as pfs:
        stage = Stage(cluster, pfs, lines)
        stage.repo("words", WORDS)
        yield stage


@pytest.fixture(scope="module")
def make_proxy(s3_pod_endpoint) -> Iterator[Callable[[], Proxy]]:
    """Makes proxies between pods and the S3 server."""
    there = urlsplit(os.environ["PACHY_TEST_S3_ENDPOINT"])
    made: list[Proxy] = []

    def make() -> Proxy:
        made.append(Proxy(urlsplit(s3_pod_endpoint).hostname or "", (there.hostname or "", there.port or 80)))
        return made[-1]

    yield make
    for proxy in made:
        proxy.shut()


class Scenarios:
    """Stories that are lived through at the same time, since their pods mostly wait; each is told by its own test."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._running: dict[str, Future[Any]] = {}

    def start(self, name: str, story: Callable[[], Any]) -> None:
        self._running[name] = self._pool.submit(copy_context().run, story)

    def end_of(self, name: str) -> Any:
        return self._running[name].result(280)


@pytest.fixture(scope="module")
def scenarios() -> Iterator[Scenarios]:
    with ThreadPoolExecutor(24) as pool:
        yield Scenarios(pool)
