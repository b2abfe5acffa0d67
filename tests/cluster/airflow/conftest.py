"""An Airflow on this machine whose datum sets run in the cluster, with data on the S3 server."""

import importlib.util
import json
import os
import secrets
from pathlib import Path

import pytest

HERE = Path(__file__).parent
HARNESS = HERE.parents[1] / "integration" / "airflow" / "conftest.py"


@pytest.fixture(scope="session")
def harness():
    """The module that starts Airflow processes for tests; a conftest cannot be imported by its name."""
    spec = importlib.util.spec_from_file_location("airflow_harness", HARNESS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def storage(s3_pod_endpoint, s3_bucket):
    """A prefix of the test bucket that nobody else uses, and how to reach it."""
    return {
        "storage": f"s3://{s3_bucket}/airflow-{secrets.token_hex(6)}",
        "endpoint_url": os.environ["PACHY_TEST_S3_ENDPOINT"],
        "worker_endpoint_url": s3_pod_endpoint,
    }


@pytest.fixture(scope="module")
def connection_with(cluster, helper_image, storage):
    """Makes the `pachy` connection, as an environment variable's JSON, that has a given metadata database."""

    def connection(metadata):
        extra = {
            **storage,
            "metadata": metadata,
            "namespace": cluster.namespace,
            "worker_secret": cluster.s3_secret,
            "helper_image": helper_image,
        }
        login, password = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        return json.dumps({"conn_type": "pachy", "login": login, "password": password, "extra": extra})

    return connection


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, harness, connection_with):
    """Runs the DAGs of `dags/` in the cluster's namespace."""
    home = tmp_path_factory.mktemp("airflow")
    connection = connection_with(f"sqlite:///{home}/pachy.db")
    process = harness.start_airflow(home, HERE / "dags", AIRFLOW_CONN_PACHY_DEFAULT=connection)
    yield process
    process.close()


@pytest.fixture
def pfs(airflow, storage):
    """The same data, from this process."""
    from airflow_pachy.pfs import Pfs

    s3 = {"endpoint_url": storage["endpoint_url"]}
    with Pfs.open(storage=storage["storage"], metadata=f"sqlite:///{airflow.home}/pachy.db", s3=s3) as pfs:
        yield pfs
