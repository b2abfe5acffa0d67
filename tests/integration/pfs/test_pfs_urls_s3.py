"""s3:// sources on a real server: one object, a prefix in parallel, other credentials than the root's."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import PathNotFound, StoreDenied
from airflow_pachy.pfs import Pfs, Split
from airflow_pachy.pfs.objects import open_store

pytestmark = pytest.mark.s3


@pytest.fixture
def source(real_s3):
    """A prefix with 60 small objects, a large one, and what a console makes for an empty directory."""
    store = open_store(real_s3.url, s3=real_s3.s3)
    for number in range(60):
        store.put(f"in/{number % 3}/{number:02}", bytes([number]) * 1000)
    store.put("in/large", b"0123456789abcde\n" * (10 << 16))
    store.put("in/users.csv", b"id,name\n1,ann\n2,ben\n")
    yield real_s3
    store.close()


@pytest.fixture
def pfs(tmp_path):
    with Pfs.open(f"file://{tmp_path}/store", f"sqlite:///{tmp_path}/db") as client:
        client.create_repo("images")
        yield client


def test_a_prefix_comes_in_one_commit(pfs, source):
    told = []
    pfs.put_url(
        "images@master:/raw",
        f"{source.url}/in",
        recursive=True,
        options=source.s3,
        parallel=6,
        progress=lambda *news: told.append(news),
    )
    assert pfs.inspect_file("images@master:/raw").file_count == 62
    assert pfs.get_file("images@master:/raw/2/59") == bytes([59]) * 1000
    assert pfs.get_file("images@master:/raw/large") == b"0123456789abcde\n" * (10 << 16)
    assert [sum(column) for column in zip(*told, strict=True)] == [62, 60_000 + (10 << 20) + 20]
    assert len(list(pfs.list_commits("images@master"))) == 1
    assert pfs.inspect_file("images@master:/raw/large").modified is not None


def test_one_object(pfs, source):
    pfs.put_url("images@master:/one", f"{source.url}/in/large", options=source.s3)
    pfs.put_url("images@master:/one", f"{source.url}/in/0/00", options=source.s3, append=True)
    assert pfs.inspect_file("images@master:/one").size == (10 << 20) + 1000
    pfs.put_url(
        "images@master:/users", f"{source.url}/in/users.csv", options=source.s3, split=Split("csv", header_records=1)
    )
    assert pfs.get_file("images@master:/users/0000000000000001") == b"id,name\n2,ben\n"


def test_what_is_not_there_or_not_ours(pfs, source):
    with pytest.raises(PathNotFound, match=r"no object s3://.*/in/none; check bucket and key"):
        pfs.put_url("images@master:/x", f"{source.url}/in/none", options=source.s3)
    with pytest.raises(PathNotFound, match="there are objects below it: put it recursively"):
        pfs.put_url("images@master:/x", f"{source.url}/in/1", options=source.s3)
    with pytest.raises(PathNotFound, match="no file below s3://"):
        pfs.put_url("images@master:/x", f"{source.url}/none", options=source.s3, recursive=True)
    wrong = {**source.s3, "aws_secret_access_key": "wrong"}
    with pytest.raises(StoreDenied):
        pfs.put_url("images@master:/x", f"{source.url}/in/large", options=wrong)
    assert not list(pfs.list_branches("images"))


def test_without_options_the_roots_own_settings_count(source, tmp_path):
    with Pfs.open(f"{source.url}/root", f"sqlite:///{tmp_path}/db2", s3=source.s3) as pfs:
        pfs.create_repo("images")
        pfs.put_url("images@master:/raw", f"{source.url}/in", recursive=True)
        assert pfs.inspect_file("images@master:/raw").file_count == 62
