"""Edits of very many changes in an open commit: written batch by batch, seen all at once or not at all."""

from __future__ import annotations

import io

import pytest
from sqlalchemy import func, select

from airflow_pachy.errors import ObjectExists, PathConflict
from airflow_pachy.metadata.models import Delta
from airflow_pachy.pfs import Pfs, open_commits
from airflow_pachy.pfs.layered import LayeredStore
from airflow_pachy.pfs.objects.memory import MemoryStore

FILES = {f"/d{number % 7}/{number:03}": b"%d" % number for number in range(95)}


@pytest.fixture
def pfs(monkeypatch):
    monkeypatch.setattr(open_commits, "_BATCH_CHANGES", 10)
    with Pfs.open("memory://", "sqlite://") as client:
        client.create_repo("r")
        with client.commit("r@source") as commit:
            for path, body in FILES.items():
                commit.put_file(path, body)
        yield client


def batches(pfs) -> int:
    with pfs.metadata.reader() as session:
        return session.scalar(select(func.count()).select_from(Delta))


def files(pfs, commit, below=""):
    return {
        one.path.removeprefix(below): pfs.get_file(f"{commit}:{one.path}")
        for one in pfs.walk_file(f"{commit}:{below or '/'}")
        if not one.is_dir
    }


def test_a_long_copy_is_several_batches(pfs):
    pfs.start_commit("r@master")
    before = batches(pfs)
    pfs.copy_file("r@source:/", "r@master:/in")
    assert batches(pfs) - before == 10
    assert files(pfs, "r@master", "/in") == FILES
    pfs.delete_file("r@master:/in/d0")
    pfs.put_file("r@master:/in/d1/001", b"changed")
    pfs.finish_commit("r@master")
    expected = {path: body for path, body in FILES.items() if not path.startswith("/d0/")} | {"/d1/001": b"changed"}
    assert files(pfs, "r@master", "/in") == expected


def test_another_client_reads_the_same(pfs):
    """From the batches in the bucket, not from what the writer has in memory."""
    pfs.start_commit("r@master")
    pfs.put_url("r@master:/in", "pfs://r/source/", recursive=True)
    other = Pfs(pfs._root)
    assert files(other, "r@master", "/in") == FILES
    other.put_file("r@master:/more", b"1")
    pfs.put_url("r@master:/again", "pfs://r/source/", recursive=True)
    pfs.finish_commit("r@master")
    assert files(pfs, "r@master") == {
        f"/{top}{path}": body for top in ("in", "again") for path, body in FILES.items()
    } | {"/more": b"1"}


def test_a_conflict_in_a_late_batch_leaves_nothing(pfs):
    pfs.start_commit("r@master")
    pfs.put_file("r@master:/in/d6", b"a file where a directory is to be")
    before = batches(pfs)
    with pytest.raises(PathConflict, match="/in/d6 is a file"):
        pfs.put_url("r@master:/in", "pfs://r/source/", recursive=True)
    assert batches(pfs) == before
    assert list(files(pfs, "r@master")) == ["/in/d6"]


def test_who_loses_the_race_writes_all_of_it_again(pfs, monkeypatch):
    """Somebody else's batch came in between: all of ours come after it."""
    commit = pfs.start_commit("r@master")
    other, landed = Pfs(pfs._root), []
    land = open_commits.OpenCommits._landed

    def slow(self, *given):
        if self is pfs.opened and not landed:
            landed.append(1)
            other.put_file(f"{commit}:/in/d0/000", b"the other one was faster, and is replaced")
            other.put_file(f"{commit}:/other", b"1")
        return land(self, *given)

    monkeypatch.setattr(open_commits.OpenCommits, "_landed", slow)
    pfs.put_url("r@master:/in", "pfs://r/source/", recursive=True)
    assert files(pfs, "r@master") == {f"/in{path}": body for path, body in FILES.items()} | {"/other": b"1"}
    assert files(Pfs(pfs._root), "r@master") == files(pfs, "r@master")


def test_everything_is_deleted_again_by_many_changes(pfs):
    pfs.start_commit("r@master", parent="r@source")
    pfs.delete_file("r@master:/d*/*")
    pfs.finish_commit("r@master")
    assert files(pfs, "r@master") == {}


def test_what_does_not_fit_into_memory_is_read_from_a_file():
    below = MemoryStore()
    below.put("below", b"b")
    store = LayeredStore(below, kept_bytes=10)
    bodies = {f"k{number}": bytes([number]) * number for number in range(30)}
    for key, body in bodies.items():
        store.put(key, io.BytesIO(body).getbuffer())
    assert {key: store.get(key) for key in bodies} == bodies
    assert store.get("k20", offset=5, length=3) == bytes([20]) * 3
    assert store.get("below") == b"b"
    assert store.head("k25").size_bytes == 25
    assert [info.key for info in store.list_keys()] == sorted(["below", *bodies])
    with pytest.raises(ObjectExists):
        store.put("k25", b"", if_absent=True)
    store.delete(["k25"])
    assert "k25" not in {info.key for info in store.list_keys()}
    assert [info.key for info in below.list_keys()] == ["below"]
    store.close()
    assert [info.key for info in store.list_keys()] == ["below"]
