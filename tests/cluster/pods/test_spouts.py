"""A spout in a real cluster: what it writes is committed in order and once, although it dies again and again."""

import asyncio
from contextlib import suppress

import pytest

from airflow_pachy.cli.app import main
from airflow_pachy.operators import PfsSpoutOperator
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines.standing import find_standing

pytestmark = pytest.mark.slow
# Writes three archives, each with the marker, and dies.
CODE = """
import io, os, tarfile
n = int(open('/pfs/offset').read()) if os.path.exists('/pfs/offset') else 0
for n in range(n + 1, n + 4):
    with open('/pfs/out', 'wb') as pipe, tarfile.open(fileobj=pipe, mode='w|') as tar:
        for name, text in ('log', f'{n},'), ('offset', str(n)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
with open('/pfs/out', 'wb') as pipe:
    pipe.write(tarfile.TarInfo('half').tobuf())
os._exit(7)
"""


class Deferred(Exception):
    pass


@pytest.fixture
def metadata(tmp_path):
    return f"sqlite:///{tmp_path}/pachy.db"


@pytest.fixture
def pfs(storage, connection_with, metadata, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PACHY_DEFAULT", connection_with(metadata))
    with Pfs.open(storage["storage"], metadata, s3={"endpoint_url": storage["endpoint_url"]}) as pfs:
        yield pfs


@pytest.fixture
def begin(pfs, python_image, monkeypatch):
    """Runs the spout's task, as a worker would, and returns the trigger that it waits with."""

    def defer(_self, *, trigger, method_name):
        raise Deferred(trigger)

    monkeypatch.setattr(PfsSpoutOperator, "defer", defer)

    def run():
        small = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
        task = PfsSpoutOperator(
            task_id="ticks",
            output="ticks@master",
            marker="offset",
            image=python_image,
            cmds=["python3", "-"],
            stdin=CODE.splitlines(),
            container_resources=small,
            pod={"pod_spec": {"terminationGracePeriodSeconds": 5}},
        )
        with pytest.raises(Deferred) as deferred:
            task.execute({})
        return deferred.value.args[0]

    return run


def look_after(trigger, pfs, until, seconds=150):
    """What the triggerer does, until something has happened."""

    async def wait():
        looking = asyncio.ensure_future(trigger._look_after())
        try:
            async with asyncio.timeout(seconds):
                while not until():
                    assert not looking.done(), looking.result()
                    await asyncio.sleep(0.5)
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    asyncio.run(wait())


def text(pfs):
    branch = pfs.inspect_branch("ticks@master")
    return pfs.get_file("ticks@master:/log").decode() if branch.head else ""


def counted(numbers):
    return "".join(f"{number}," for number in range(1, numbers + 1))


def test_a_spout_that_dies_goes_on_where_its_marker_is(cluster, pfs, begin, storage, metadata, capsys):
    trigger = begin()
    look_after(trigger, pfs, lambda: text(pfs) == counted(6))
    assert pfs.get_file("ticks@marker:/offset") == b"6"
    assert len(list(pfs.list_commits("ticks@master"))) == 6
    look_after(trigger, pfs, lambda: "has ended" in find_standing(pfs, "ticks").message)
    assert "the last time with 7" in find_standing(pfs, "ticks").message

    # Another pod on another node.
    (pod,) = cluster.core.list_namespaced_pod(cluster.namespace, label_selector="pachy-standing=pachy-ticks").items
    cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)
    # Nobody looks after it, as when Airflow is down; then another run does.
    trigger = begin()
    look_after(trigger, pfs, lambda: text(pfs) >= counted(9))
    assert text(pfs) == counted(len(text(pfs).split(",")) - 1)
    assert "half" not in [info.path for info in pfs.list_file("ticks@master:/")]

    options = ["--storage", storage["storage"], "--metadata", metadata, "--s3-endpoint", storage["endpoint_url"]]
    assert main([*options, "stop", "pipeline", "ticks"]) == 0
    assert "Deleted Deployment pachy-ticks" in capsys.readouterr().out
    assert find_standing(pfs, "ticks") is None
