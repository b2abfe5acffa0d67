"""`PfsBranchOperator`: a branch is pointed at an address, or at what a stage has published."""

import pytest

from airflow_pachy.operators import PfsBranchOperator
from airflow_pachy.pfs import Pfs


@pytest.fixture
def pfs(tmp_path, monkeypatch):
    storage, metadata = (tmp_path / "objects").as_uri(), f"sqlite:///{tmp_path}/pachy.db"
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("PACHY_STORAGE", storage)
    monkeypatch.setenv("PACHY_METADATA", metadata)
    with Pfs.open(storage=storage, metadata=metadata) as pfs:
        pfs.create_repo("models")
        pfs.put_file("models@candidate:/model", b"1")
        yield pfs


def test_the_head_of_another_branch(pfs):
    address = PfsBranchOperator(task_id="t", branch="models@production", head="models@candidate").execute({})
    assert address == f"models@{pfs.inspect_branch('models@candidate').head}"
    assert pfs.get_file("models@production:/model") == b"1"


def test_what_a_stage_has_published(pfs):
    commit = pfs.inspect_branch("models@candidate").head
    pfs.put_file("models@candidate:/model", b"2")
    published = {"repo": "models", "branch": "candidate", "commit": commit, "job": "0" * 32}
    PfsBranchOperator(task_id="t", branch="models@production", head=published).execute({})
    assert pfs.get_file("models@production:/model") == b"1"
