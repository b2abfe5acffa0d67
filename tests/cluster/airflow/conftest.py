"""An Airflow on this machine whose datum sets run in the cluster, with data on the S3 server."""

from pathlib import Path

import pytest
from support.dag_runs import start_airflow

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, connection_with):
    """Runs the DAGs of `dags/` in the cluster's namespace."""
    home = tmp_path_factory.mktemp("airflow")
    connection = connection_with(f"sqlite:///{home}/pachy.db")
    process = start_airflow(home, HERE / "dags", AIRFLOW_CONN_PACHY_DEFAULT=connection)
    yield process
    process.close()


@pytest.fixture
def pfs(airflow, storage):
    """The same data, from this process."""
    from airflow_pachy.pfs import Pfs

    s3 = {"endpoint_url": storage["endpoint_url"]}
    with Pfs.open(storage=storage["storage"], metadata=f"sqlite:///{airflow.home}/pachy.db", s3=s3) as pfs:
        yield pfs


@pytest.fixture(autouse=True)
def nothing_left(cluster):
    """What no pod of a task may do: outlast it. Says which did, and takes them away, lest the next test be blamed."""
    yield
    left = [
        pod
        for pod in cluster.core.list_namespaced_pod(cluster.namespace, label_selector="dag_id").items
        if not pod.metadata.deletion_timestamp
    ]
    for pod in left:
        cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace, grace_period_seconds=0)
    said = [(pod.metadata.name, pod.metadata.labels, pod.metadata.annotations, pod.status.phase) for pod in left]
    assert not said
