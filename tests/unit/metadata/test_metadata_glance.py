"""Reading without SQLAlchemy: the same commits as in a session, and a session wherever there is more to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_pachy.errors import BranchNotFound, CommitForgotten, SchemaMismatch
from airflow_pachy.metadata.deferred import open_metadata
from airflow_pachy.metadata.glance import Glance
from airflow_pachy.metadata.models import PRINCIPAL_LENGTH
from airflow_pachy.pfs import Pfs, roles


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'with space' / 'm.db'}"


@pytest.fixture
def storage(tmp_path):
    return (tmp_path / "objects").as_uri()


@pytest.fixture
def pfs(url, storage, tmp_path):
    (tmp_path / "with space").mkdir()
    with Pfs.open(storage, url) as opened:
        opened.create_repo("r")
        opened.put_file("r@master:/a", b"1")
        opened.put_file("r@master:/a", b"2")
        yield opened


def test_a_glance_tells_what_a_session_tells(pfs, url):
    glance = Glance.of(url)
    head, first = pfs.inspect_commit("r@master"), pfs.inspect_commit("r@master^")
    seen = glance.commit_of_branch("r", "master")
    assert (seen.repo, seen.id, f"r@{seen.parent}", seen.tree) == ("r", head.id, head.parent, head.tree)
    before = glance.commit("r", first.id)
    assert (before.id, before.parent, before.tree) == (first.id, None, first.tree)
    glance.close()


def test_where_there_is_more_to_tell_a_glance_tells_nothing(pfs, url):
    glance = Glance.of(url)
    first = pfs.inspect_commit("r@master^").id
    assert glance.commit_of_branch("r", "nope") is None
    assert glance.commit_of_branch("nope", "master") is None
    assert glance.commit("other", first) is None
    pfs.forget_commit(f"r@{first}")
    assert glance.commit("r", first) is None
    pfs.start_commit("r@master")
    assert glance.commit_of_branch("r", "master") is None
    glance.close()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///m.db", "sqlite:////no/such/file.db", "postgresql://h/d", "sqlite:///:memory:", ""]
)
def test_only_the_plain_url_of_a_file_that_is_there_is_glanced_at(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("m.db").touch()
    assert Glance.of(url) is None
    assert Glance.of(f"sqlite:///{tmp_path}/m.db?timeout=5") is None


def test_a_file_that_is_no_database_or_has_no_tables_tells_nothing(tmp_path):
    for content in (b"", b"no database" * 1000):
        (tmp_path / "m.db").write_bytes(content)
        glance = Glance.of(f"sqlite:///{tmp_path / 'm.db'}")
        assert glance.revision() is None
        assert glance.commit_of_branch("r", "master") is None
        glance.close()


def test_reading_files_imports_no_sqlalchemy(pfs, url, storage):
    code = (
        "import sys; from airflow_pachy.pfs import Pfs\n"
        f"with Pfs.open({storage!r}, {url!r}) as pfs:\n"
        "    assert pfs.get_file('r@master:/a') == b'2'\n"
        "    assert [one.path for one in pfs.list_file('r@master:/')] == ['/a']\n"
        "    assert [one.path for one in pfs.glob_file('r@master', '/*')] == ['/a']\n"
        "    assert [one.path for one in pfs.diff_file('r@master')] == ['/a']\n"
        "    assert 'sqlalchemy' not in sys.modules\n"
        "    assert pfs.get_file('r@master^:/a') == b'1'\n"
        "    assert 'sqlalchemy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reading_comes_to_the_same_with_a_session(pfs, url, storage):
    first = pfs.inspect_commit("r@master^").id
    with Pfs.open(storage, url) as glancing:
        assert glancing.metadata.glance is not None
        assert [one.path for one in glancing.diff_file("r@master")] == [one.path for one in pfs.diff_file("r@master")]
        assert list(glancing.diff_file(f"r@{first}")) == list(pfs.diff_file(f"r@{first}"))
        assert glancing.inspect_file("r@master:/a") == pfs.inspect_file("r@master:/a")
        with pytest.raises(BranchNotFound, match="nope"):
            glancing.get_file("r@nope:/a")
        assert glancing.metadata.glance is None
    pfs.forget_commit(f"r@{first}")
    with Pfs.open(storage, url) as glancing, pytest.raises(CommitForgotten):
        glancing.get_file(f"r@{first}:/a")


def test_what_others_write_is_seen_by_the_next_glance(pfs, url, storage):
    with Pfs.open(storage, url) as glancing:
        assert glancing.get_file("r@master:/a") == b"2"
        pfs.put_file("r@master:/a", b"3")
        assert glancing.get_file("r@master:/a") == b"3"
        assert glancing.metadata.glance is not None


def test_who_reads_first_writes_then_with_copies_in_the_bucket(pfs, url, storage):
    with Pfs.open(storage, url) as glancing:
        assert glancing.get_file("r@master:/a") == b"2"
        glancing.create_repo("late")
        assert list(glancing.store.list_keys("refs/repos/late"))
        with glancing.transaction():
            glancing.put_file("r@master:/a", b"in it")
            assert glancing.get_file("r@master:/a") == b"in it"
            assert glancing.metadata.in_transaction
        assert not glancing.metadata.in_transaction


def test_tables_of_another_version_are_refused_all_the_same(pfs, url, monkeypatch):
    monkeypatch.setattr("airflow_pachy.metadata.deferred.HEAD_REVISION", "9999")
    monkeypatch.setattr("airflow_pachy.metadata.database.HEAD_REVISION", "9999")
    with pytest.raises(SchemaMismatch, match="pachy db upgrade"):
        open_metadata(url)


def test_a_principal_is_as_long_as_its_column():
    assert roles.PRINCIPAL_LENGTH == PRINCIPAL_LENGTH
