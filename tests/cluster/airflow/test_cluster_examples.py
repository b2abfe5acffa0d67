"""An example of pipeline specs on Kubernetes: the image of its Dockerfile, whose working directory has the code."""

from pathlib import Path

import pytest
from support.dag_runs import start_airflow

from airflow_pachy.pfs import Pfs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DAGS = Path(__file__).parents[3] / "dags_examples"


def test_joins_and_groups_give_what_the_page_says(tmp_path, storage, connection_with, joins_image):
    home = tmp_path / "home"
    home.mkdir()
    (home / "dags").mkdir()
    (home / "dags" / "joins.py").symlink_to(DAGS / "joins.py")
    metadata = f"sqlite:///{home}/pachy.db"
    airflow = start_airflow(
        home, home / "dags", AIRFLOW_CONN_PACHY_DEFAULT=connection_with(metadata), JOINS_RUNNER="kubernetes"
    )
    s3 = {"endpoint_url": storage["endpoint_url"]}
    try:
        with Pfs.open(storage=storage["storage"], metadata=metadata, s3=s3) as pfs:
            for repo in ("stores", "purchases", "lab"):
                pfs.create_repo(repo)
                pfs.put_dir(f"{repo}@master:/", DAGS / "joins_code" / "data" / repo)
            run = airflow.run("joins", timeout=500)
            assert run.state == "success", run.log[-8000:]
            assert pfs.get_file("shop_revenue@master:/Bergen/2026-05-04.csv") == b"2026-05-04,102.00,NOK\n"
            assert [file.path for file in pfs.list_file("shop_unsold@master:/")] == ["/Turku"]
            assert pfs.get_file("shop_totals@master:/s9.csv") == b"city,days,pieces\nunknown,1,4\n"
            assert pfs.get_file("lab_series@master:/anna/lipids.csv") == b"2026-01-12,4.1,north\n2026-04-02,3.8,south\n"
    finally:
        airflow.close()
