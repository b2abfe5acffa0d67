"""An Airflow with the embedded store, in which the DAGs of `dags/` run."""

from pathlib import Path

import pytest
from support.dag_runs import embedded_store, start_airflow

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """An Airflow with the embedded store, and the DAGs of `dags/`."""
    home = tmp_path_factory.mktemp("airflow")
    process = start_airflow(home, HERE / "dags")
    yield process
    process.close()


@pytest.fixture
def pfs(airflow):
    """The same embedded store, from this process."""
    with embedded_store(airflow) as pfs:
        yield pfs
