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
