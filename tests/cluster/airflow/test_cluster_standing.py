"""A service and a spout under a real Airflow: their tasks wait in the triggerer, their pods stand without them."""

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from kubernetes.client import AppsV1Api

from airflow_pachy.errors import NotFound
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.lifecycle import create_pipeline, inspect_pipeline, stop_pipeline
from airflow_pachy.pipelines.standing import find_standing

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_stays(cluster):
    """The namespace is shared with other tests: what a test leaves standing is taken away."""
    yield
    apps = AppsV1Api(cluster.core.api_client)
    for one in apps.list_namespaced_deployment(cluster.namespace).items:
        apps.delete_namespaced_deployment(one.metadata.name, cluster.namespace)


def test_a_service_stands_when_its_task_has_ended(airflow, cluster, pfs):
    pfs.create_repo("words")
    pfs.put_file("words@master:/a", b"alpha")
    run = airflow.run("site", timeout=300)
    assert run.state == "success", run.log[-6000:]
    answer = run.xcom("site", "return_value")
    assert (answer["name"], answer["port"]) == ("pachy-site", 8080)
    (subset,) = cluster.core.read_namespaced_endpoints("pachy-site", cluster.namespace).subsets
    with urllib.request.urlopen(f"http://{subset.addresses[0].ip}:8080/a", timeout=20) as response:
        assert response.read() == b"alpha"
    assert find_standing(pfs, "site").state == "running"

    # Whoever stopped it could not reach the cluster: the next run takes it away.
    stop_pipeline(pfs, "site")
    run = airflow.run("site", timeout=300)
    assert run.states()["site"] == "skipped", run.log[-6000:]
    assert find_standing(pfs, "site") is None


def commits(pfs):
    try:
        return len(list(pfs.list_commits("ticks@master")))
    except NotFound:
        return 0


def test_a_spout_is_looked_after_by_the_triggerer(airflow, cluster, pfs):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(airflow.run, "ticks", timeout=300)
        while commits(pfs) < 4 and not running.done():
            time.sleep(1)
        if not running.done():
            # Another version ends the run, so that the next one puts it into the cluster.
            spec = {**inspect_pipeline(pfs, "ticks").spec, "description": "better"}
            create_pipeline(pfs, PipelineSpec.from_dict(spec), update=True)
        run = running.result()
    assert run.state == "success", run.log[-6000:]
    assert run.xcom("ticks", "return_value") == {"pipeline": "ticks", "commits": 4}
    assert "is in version 2 now" in run.log
    files = {info.path: pfs.get_file(f"ticks@master:{info.path}") for info in pfs.list_file("ticks@master:/")}
    assert files == {"/1": b"tick 1\n", "/2": b"tick 2\n", "/3": b"tick 3\n", "/put": b"by pachctl\n"}
    assert pfs.get_file("ticks@marker:/last") == b"3\n"
    assert find_standing(pfs, "ticks") is not None, "it stands without a task"
    stop_pipeline(pfs, "ticks")
