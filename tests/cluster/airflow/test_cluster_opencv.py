"""The tutorial for real: Kubernetes, S3 and PostgreSQL give byte for byte what a laptop gives."""

from importlib.resources import files
from pathlib import Path

import pytest
from support.dag_runs import start_airflow

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import list_jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DAGS = Path(__file__).parents[3] / "dags_examples"
FIRST = ("astronaut.png", "chelsea.png", "coffee.png")
SECOND = ("hubble_deep_field.jpg", "rocket.jpg")


def put_photos(pfs, names):
    folder = Path(str(files("skimage"))) / "data"
    with pfs.commit("images@master") as commit:
        for name in names:
            commit.put_file(f"/{name}", folder / name)


def run_tutorial(airflow, pfs):
    """Two commits of photos, a run after each; returns every output file's bytes and the jobs, oldest first."""
    pfs.create_repo("images")
    for names in (FIRST, SECOND):
        put_photos(pfs, names)
        run = airflow.run("opencv", timeout=500)
        assert run.state == "success", run.log[-8000:]
    outputs = {
        f"{branch}:/{entry.path}": pfs.get_file(f"{branch}:/{entry.path}")
        for branch in ("edges@master", "montage@master")
        for entry in pfs.tree(branch).entries()
    }
    return outputs, list(list_jobs(pfs))[::-1]


@pytest.fixture
def start(tmp_path):
    """Starts an Airflow on the example DAGs and ends it after the test."""
    started = []

    def start_in(name, **environment):
        home = tmp_path / name
        home.mkdir()
        started.append(start_airflow(home, DAGS, **environment))
        return started[-1]

    yield start_in
    for process in started:
        process.close()


@pytest.mark.postgres
def test_a_cluster_and_a_laptop_give_the_same_bytes(start, storage, connection_with, opencv_image, postgres_url):
    airflow = start(
        "cluster",
        AIRFLOW_CONN_PACHY_DEFAULT=connection_with(postgres_url),
        OPENCV_RUNNER="kubernetes",
        OPENCV_IMAGE=opencv_image,
    )
    s3 = {"endpoint_url": storage["endpoint_url"]}
    with Pfs.open(storage=storage["storage"], metadata=postgres_url, s3=s3) as pfs:
        in_cluster, jobs = run_tutorial(airflow, pfs)
        counts = [(job.pipeline, job.datums_processed, job.datums_skipped, job.datums_total) for job in jobs]
        montage = pfs.inspect_commit("montage@master")
        provenance = {commit.repo: commit.id for commit in pfs.provenance("montage@master")}
        heads = {repo: pfs.inspect_branch(f"{repo}@master").head for repo in ("images", "edges")}
    assert counts == [("edges", 3, 0, 3), ("montage", 1, 0, 1), ("edges", 2, 3, 5), ("montage", 1, 0, 1)]
    assert montage.state == "finished"
    assert provenance == {repo: str(head).split("@")[-1] for repo, head in heads.items()}

    laptop = start("laptop")
    embedded = laptop.home / "pachy"
    embedded.mkdir()
    with Pfs.open(storage=(embedded / "objects").as_uri(), metadata=f"sqlite:///{embedded}/pachy.db") as pfs:
        locally, _ = run_tutorial(laptop, pfs)
    assert sorted(in_cluster) == sorted(locally)
    assert [path for path in locally if in_cluster[path] != locally[path]] == []
