"""Upkeep on a real S3 and database servers."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from support.roots import everything

from airflow_pachy.pfs import Pfs, Trigger

pytestmark = pytest.mark.s3
NOW = timedelta(0)
LARGE = b"0123456789abcdef" * 100_000


@pytest.fixture
def here(tmp_path):
    """A root on this machine."""
    with Pfs.open((tmp_path / "here").as_uri(), f"sqlite:///{tmp_path / 'here.db'}") as client:
        yield client


@pytest.fixture
def there(real_s3, server_url):
    """A root on servers."""
    with Pfs.open(f"{real_s3.url}/root", server_url, s3=real_s3.s3) as client:
        yield client


def fill(pfs):
    pfs.create_repo("one", description="é\nline")
    pfs.set_retention("one", keep_last=9)
    pfs.put_file("one@master:/large", LARGE)
    for number in range(5):
        pfs.put_file(f"one@master:/d/{number}", b"%d" % number * 700)
    pfs.create_repo("two")
    pfs.create_branch("two@master", provenance=["one@master"])
    pfs.put_file("two@master:/x", b"x")
    pfs.create_branch("one@old", head="one@master^^")
    pfs.create_branch("two@nightly", trigger=Trigger("master", commits=2, size="1M", rate_limit="@hourly", all=True))
    pfs.put_split("one@master:/rows", b"id\n1\n2\n", delimiter="csv", header_records=1, labels={"why": "é"})
    pfs.tag_commit("one@master", "best")
    pfs.grant("two", "user:ada", "READER")
    with pfs.commit("two@derived", provenance=["one@master"]) as commit:
        commit.put_file("/x", b"from one", append=True)
    pfs.start_commit("two@open")
    pfs.put_file("two@open:/y", b"y" * 600)
    return pfs


def read(pfs, commit):
    return {
        info.path: pfs.get_file(f"{commit}:{info.path}") for info in pfs.walk_file(f"{commit}:/") if not info.is_dir
    }


def test_a_root_moves_to_servers_and_back(here, there, real_s3, tmp_path):
    fill(here)
    here.extract(tmp_path / "root.tar")
    there.restore(tmp_path / "root.tar")
    assert everything(there) == everything(here)
    assert there.fsck(deep=True) == []
    assert read(there, "one@master") == read(here, "one@master")
    there.put_file("one@master:/more", b"m" * 800)
    made = there.extract(f"{real_s3.url}/archive")
    with Pfs.open((tmp_path / "back").as_uri(), f"sqlite:///{tmp_path / 'back.db'}", s3=real_s3.s3) as back:
        assert back.restore(f"{real_s3.url}/archive") == made
        assert everything(back) == everything(there)
        assert back.fsck(deep=True) == []
        assert read(back, "one@master") == read(there, "one@master")


def test_the_database_on_a_server_is_rebuilt(there, tmp_path):
    fill(there)
    with Pfs.open("memory://", f"sqlite:///{tmp_path / 'rebuilt.db'}") as other:
        object.__setattr__(other._root, "store", there.store)
        assert other.fsck(rebuild=True) == []
        assert [one.name for one in other.list_repos()] == ["one", "two"]
        assert list(map(str, other.list_commits("one@master"))) == list(map(str, there.list_commits("one@master")))
        assert other.inspect_branch("one@old").head == there.inspect_branch("one@old").head


def collect(pfs):
    """Delete all that is dead: the store's clock tells whole seconds, and what is of this one is too young."""
    time.sleep(1.1)
    for _ in range(100):
        if pfs.gc(dry_run=False, grace=NOW).objects("waiting") == 0:
            return
    pytest.fail("what is dead never gets older")


def test_collecting_on_servers(there):
    fill(there)
    there.create_repo("gone")
    there.put_file("gone@master:/a", b"a" * 5000)
    there.delete_repo("gone")
    told = there.gc(grace=NOW)
    assert [one.size_bytes for one in told.usage if (one.repo, one.kind) == ("gone", "packs")] == [5000]
    assert there.gc().condemned_objects == 0
    collect(there)
    assert there.gc(grace=NOW).condemned_objects == 0
    assert there.fsck(deep=True) == []


def test_collecting_while_writers_write(there, real_s3, server_url):
    """Real threads, a real database: nothing that a put returned from is lost."""
    there.create_repo("busy")
    errors: list[Exception] = []

    def write(number):
        try:
            with Pfs.open(f"{real_s3.url}/root", server_url, s3=real_s3.s3) as client:
                for turn in range(6):
                    client.put_file(f"busy@b{number}:/{turn}", LARGE[turn:] + b"%d" % number)
                    client.put_file(f"busy@b{number}:/{turn}", LARGE + b"%d" % (turn % 2))
                    if turn % 3 == 2:
                        client.drop_commit(f"busy@b{number}")
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        there.gc(dry_run=False, grace=timedelta(seconds=60))
    for writer in writers:
        writer.join()
    assert errors == []
    there.gc(dry_run=False, grace=NOW)
    assert there.fsck(deep=True) == []
    assert len(read(there, "busy@b0")) == 6
