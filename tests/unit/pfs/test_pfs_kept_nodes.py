"""What a client of S3 keeps of trees on its machine: reads ask the bucket less, checks as much as ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.objects import CountingStore, open_store
from tests.support.moto_s3 import moto_s3


@pytest.fixture(scope="module")
def settings():
    with moto_s3() as (_, found):
        yield found


@pytest.fixture
def connect(tmp_path, settings):
    def open_pfs():
        url = f"s3://bucket/{tmp_path.name}"
        counted = CountingStore(open_store(url, s3=settings))
        return Pfs.open(url, f"sqlite:///{tmp_path}/pachy.db", s3=settings, store=counted), counted

    return open_pfs


@pytest.fixture
def written(connect):
    """A repo with two commits, by another process on this machine, as it were."""
    pfs, _ = connect()
    with pfs:
        pfs.create_repo("images")
        for body in (b"first", b"second"):
            with pfs.commit("images@master") as commit:
                for number in range(40):
                    commit.put_file(f"/d/{number:02d}", body if number % 20 == 0 else b"same")
    forget_nodes_in_memory()


def forget_nodes_in_memory():
    from airflow_pachy.pfs.tree import cache

    cache.shared.clear()


def read_everything(pfs):
    paths = [one.path for one in pfs.glob_file("images@master", "/**")]
    return len(paths), [one.path for one in pfs.diff_file("images@master")], pfs.get_file("images@master:/d/20")


def nodes_below(cache):
    return sorted(one for one in (Path(cache) / "nodes").rglob("*") if one.is_file())


@pytest.mark.usefixtures("written")
def test_a_second_process_asks_the_bucket_for_no_node(connect):
    assert nodes_below(os.environ["PACHY_CACHE"])
    pfs, store = connect()
    with pfs:
        assert read_everything(pfs) == (41, ["/d/00", "/d/20"], b"second")
    assert store.counts.requests["get"] == 1  # which format it has


@pytest.mark.usefixtures("written")
def test_with_a_size_of_nothing_nothing_is_kept(connect, tmp_path, monkeypatch):
    monkeypatch.setenv("PACHY_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("PACHY_CACHE_SIZE", "0")
    pfs, store = connect()
    with pfs:
        assert read_everything(pfs)[2] == b"second"
    assert store.counts.requests["get"] > 1
    assert not nodes_below(tmp_path / "other")


@pytest.mark.usefixtures("written")
def test_fsck_looks_into_the_bucket_and_not_here(connect):
    pfs, store = connect()
    with pfs:
        assert pfs.fsck() == []
        node = next(info.key for info in store.list_keys("nodes/"))
        store.delete([node])
        assert any(node in str(problem) for problem in pfs.fsck())
        assert read_everything(pfs)[2] == b"second"
