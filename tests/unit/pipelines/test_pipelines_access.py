"""Jobs have the rights of whoever runs them and those of their pipeline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_pachy.errors import Denied
from airflow_pachy.pfs import Pfs


@pytest.fixture
def as_(tmp_path):
    clients = []

    def connect(principal):
        client = Pfs.open(f"memory://{tmp_path.name}", f"sqlite:///{tmp_path / 'pachy.db'}", principal=principal)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def ada(as_):
    """Owner of `images`, which has one file."""
    client = as_("user:ada")
    client.create_repo("images")
    client.put_file("images@master:/a", b"a")
    return client


def test_a_job_reads_what_its_pipeline_may_read(bench, ada, as_):
    ada.grant("images", "pipeline:edges", "READER")
    job = replace(bench, pfs=as_("robot:airflow")).run()
    assert job.state == "success"
    assert ada.acl("images") == {"pipeline:edges": "READER", "user:ada": "OWNER"}
    assert as_("robot:airflow").acl("edges") == {"pipeline:edges": "WRITER", "robot:airflow": "OWNER"}
    assert as_(None).inspect_commit("edges@master").author == "robot:airflow"


def test_a_pipeline_that_lost_its_right_stops(bench, ada, as_):
    ada.grant("images", "pipeline:edges", "READER")
    runner = replace(bench, pfs=as_("robot:airflow"))
    runner.run()
    ada.put_file("images@master:/b", b"b")
    ada.grant("images", "pipeline:edges", "NONE")
    with pytest.raises(Denied, match=r"robot:airflow \(also as pipeline:edges\) may not read repo 'images'"):
        runner.run()
    assert len(list(as_(None).list_commits("edges@master"))) == 1


def test_another_runner_may_publish_for_the_pipeline(bench, ada, as_):
    ada.grant("images", "allUsers", "READER")
    replace(bench, pfs=as_("robot:airflow")).run()
    ada.put_file("images@master:/b", b"b")
    assert replace(bench, pfs=as_("dag:edges")).run("again").state == "success"
    with pytest.raises(Denied, match="write to repo 'edges'"):
        as_("dag:edges").put_file("edges@master:/x", b"")
