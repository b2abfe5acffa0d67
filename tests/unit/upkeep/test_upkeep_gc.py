"""What garbage collection keeps, what it deletes, and what it tells."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import select

from airflow_pachy.errors import Conflict, Corrupt, InvalidArgument, RepoNotFound, StoreUnavailable
from airflow_pachy.metadata import Metadata
from airflow_pachy.metadata.models import Base, Pipeline, RemovedTree, StoredObject
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.heads import utc_now
from airflow_pachy.pfs.root import Root
from airflow_pachy.pfs.upkeep.keepers import OWN_TABLES, all_keepers, require_claimed
from airflow_pachy.testing.faulty_store import Died, Fault

GRACE = timedelta(days=7)
NOW = timedelta(0)
LARGE = (b"large one " * 110_000)[: 1 << 20]


@pytest.fixture
def pfs(world):
    world.pfs.create_repo("r")
    return world.pfs


def test_a_dry_run_is_the_default_and_deletes_nothing(pfs, world):
    pfs.create_repo("gone")
    pfs.put_file("gone@master:/a", b"a" * 2000)
    pfs.put_file("r@master:/a", b"b" * 3000)
    pfs.delete_repo("gone")
    before = world.keys()
    report = pfs.gc(grace=NOW)
    assert world.keys() == before
    assert report.dry_run
    packs = {(one.repo, one.fate): one.size_bytes for one in report.usage if one.kind == "packs"}
    assert packs == {("gone", "condemned"): 2000, ("r", "live"): 3000}
    assert report.condemned_bytes == sum(one.size_bytes for one in report.usage if one.fate == "condemned")


def test_what_was_removed_waits_for_the_grace(pfs, world):
    pfs.put_file("r@master:/a", b"a" * 2000)
    world.pass_time(GRACE * 2)
    pfs.drop_commit("r@master")
    (pack,) = world.keys("packs/")
    report = pfs.gc(dry_run=False)
    assert report.size_bytes("waiting") >= 2000
    assert world.keys("packs/") == [pack]
    world.pass_time(GRACE + timedelta(hours=1))
    pfs.gc(dry_run=False)
    assert world.keys("packs/") == []
    with world.metadata.reader() as session:
        assert session.scalars(select(RemovedTree)).all() == []


def test_uploads_of_killed_writers_wait_for_the_grace(pfs, world):
    world.aged.put("packs/aa/00000000000000000000000000", b"x" * 100)
    world.aged.put("nodes/aa/orphan", b"x")
    assert pfs.gc(dry_run=False).objects("young") == 2
    world.pass_time(GRACE + timedelta(hours=1))
    report = pfs.gc(dry_run=False)
    assert (report.condemned_objects, report.condemned_bytes) == (2, 101)
    assert report.oldest is not None
    assert report.oldest <= report.newest <= report.started - GRACE
    assert world.keys("packs/") == []


def test_shared_packs_stay_and_their_dead_bytes_are_told(pfs):
    with pfs.commit("r@master") as commit:
        commit.put_file("/a", b"a" * 1000)
        commit.put_file("/b", b"b" * 3000)
    with pfs.commit("r@master") as commit:
        commit.delete_file("/b")
    pfs.drop_commit("r@master")
    pfs.create_repo("s")
    pfs.copy_file("r@master:/a", "s@master:/a")
    pfs.delete_repo("r")
    report = pfs.gc(dry_run=False, grace=NOW)
    assert report.dead_bytes == 3000
    assert pfs.get_file("s@master:/a") == b"a" * 1000


def test_open_commits_keep_their_changes(pfs, world):
    pfs.start_commit("r@master")
    pfs.put_file("r@master:/a", b"a" * 2000)
    world.pass_time(timedelta(days=2))
    world.client().gc(dry_run=False, grace=timedelta(days=1))
    world.client().finish_commit("r@master")
    assert world.files("r@master") == {"/a": b"a" * 2000}


def test_open_commits_that_nobody_writes_to_are_given_up(pfs, world):
    commit = pfs.start_commit("r@master")
    pfs.put_file("r@master:/a", b"a" * 2000)
    world.pass_time(timedelta(days=4))
    assert world.client().gc().expired == (f"r@{commit.id}",)
    assert pfs.inspect_branch("r@master").open_commit == commit.id
    assert world.client().gc(dry_run=False).expired == (f"r@{commit.id}",)
    info = pfs.inspect_commit(f"r@{commit.id}")
    assert (info.state, pfs.inspect_branch("r@master").open_commit) == ("error", None)
    assert "nobody wrote to it" in info.error
    assert len(world.keys("deltas/")) == 1
    world.pass_time(GRACE * 2)
    world.client().gc(dry_run=False)
    assert world.keys("deltas/") == world.keys("packs/") == []


def test_large_chunks_are_shared_between_repos(pfs, world):
    pfs.create_repo("s")
    pfs.put_file("r@master:/a", LARGE)
    pfs.put_file("s@master:/b", LARGE)
    with pfs.commit("s@master") as commit:
        commit.put_file("/c", LARGE)
    assert len(world.keys("packs/")) == 1
    pfs.delete_repo("r")
    pfs.gc(dry_run=False, grace=NOW)
    assert pfs.get_file("s@master:/b") == LARGE
    pfs.delete_repo("s")
    pfs.gc(dry_run=False, grace=NOW)
    assert world.keys("packs/") == []
    with world.metadata.reader() as session:
        assert session.scalars(select(StoredObject)).all() == []


def test_retention_forgets_data_and_keeps_history(pfs, world):
    for number in range(5):
        pfs.put_file("r@master:/a", b"%d" % number * 1000)
    pfs.set_retention("r", keep_last=2)
    assert pfs.retention("r").keep_last == 2
    commits = list(pfs.list_commits("r@master"))
    pfs.tag_commit(f"r@{commits[4].id}", "first")
    report = pfs.gc(grace=NOW)
    assert sorted(report.forgotten) == sorted(f"r@{one.id}" for one in commits[2:4])
    assert report.size_bytes("condemned") > 2000
    assert sorted(pfs.gc(dry_run=False, grace=NOW).forgotten) == sorted(report.forgotten)
    assert len(world.keys("packs/")) == 3
    assert [one.id for one in pfs.list_commits("r@master")] == [one.id for one in commits]
    forgotten = pfs.inspect_commit(f"r@{commits[2].id}")
    assert forgotten.forgotten is not None
    assert forgotten.size_bytes == 1000
    assert pfs.get_file("r@first:/a") == b"0" * 1000


def test_retention_by_days_and_for_all_repos(pfs, world):
    pfs.put_file("r@master:/a", b"a" * 1000)
    pfs.put_file("r@master:/a", b"b" * 1000)
    world.pass_time(timedelta(days=10))
    pfs.put_file("r@master:/a", b"c" * 1000)
    assert pfs.gc(keep_days=20).forgotten == ()
    assert len(pfs.gc(keep_days=5).forgotten) == 2
    assert len(pfs.gc(keep_days=5, keep_last=2).forgotten) == 1


@pytest.mark.parametrize("wrong", [{"keep_last": 0}, {"keep_days": -1}])
def test_impossible_retention(pfs, wrong):
    with pytest.raises(InvalidArgument, match="keep_"):
        pfs.set_retention("r", **wrong)
    with pytest.raises(InvalidArgument, match="keep_"):
        pfs.gc(**wrong)


def test_impossible_times(pfs):
    with pytest.raises(InvalidArgument, match="negative"):
        pfs.gc(grace=timedelta(days=-1))
    with pytest.raises(RepoNotFound):
        pfs.set_retention("nobody", keep_last=1)


def test_nothing_is_deleted_when_something_needed_is_missing(pfs, world):
    pfs.put_file("r@master:/a", b"a" * 2000)
    pfs.put_file("r@other:/b", b"b" * 2000)
    world.aged.put("packs/aa/orphan", b"x")
    for prefix in ("packs/", "nodes/"):
        (lost, *_) = [key for key in world.keys(prefix) if "orphan" not in key]
        body = world.aged.get(lost)
        world.aged.delete([lost])
        world.client()
        with pytest.raises(Corrupt, match="nothing was deleted"):
            pfs.gc(dry_run=False, grace=NOW)
        assert "packs/aa/orphan" in world.keys("packs/")
        world.aged.put(lost, body)
    assert pfs.gc(dry_run=False, grace=NOW).condemned_objects == 1


@pytest.mark.parametrize("kind", ["truncated", "damaged"])
@pytest.mark.parametrize("on", range(1, 4))
def test_what_is_read_wrong_deletes_nothing(pfs, world, kind, on):
    for path in ("a", "b", "c"):
        pfs.put_file(f"r@{path}:/{path}", path.encode() * 2000)
    world.faulty.faults = [Fault("get", kind, on, "nodes/")]
    client = world.client()
    # What was hit may be a column that is not read.
    with suppress(Corrupt, StoreUnavailable):
        client.gc(dry_run=False, grace=NOW)
    world.recover()
    for path in ("a", "b", "c"):
        assert world.files(f"r@{path}") == {f"/{path}": path.encode() * 2000}


@pytest.mark.parametrize("on", range(1, 6))
def test_a_killed_run_is_finished_by_the_next(pfs, world, on):
    for number in range(3):
        pfs.put_file("r@master:/a", b"%d" % number * 1000)
        pfs.drop_commit("r@master")
    pfs.put_file("r@master:/keep", b"k" * 1000)
    world.faulty.faults = [Fault("delete", "dead", on, "nodes/"), Fault("put", "dead", on, "gc/")]
    if on <= 2:
        with pytest.raises(Died):
            world.client().gc(dry_run=False, grace=NOW)
    world.recover()
    world.client().gc(dry_run=False, grace=NOW)
    assert world.files("r@master") == {"/keep": b"k" * 1000}
    assert len(world.keys("packs/")) == 1
    assert world.client().gc(grace=NOW).objects("condemned") == 0


def test_the_list_of_the_condemned_is_kept(pfs, world):
    pfs.put_file("r@master:/a", b"a" * 2000)
    pfs.drop_commit("r@master")
    (pack,) = world.keys("packs/")
    report = pfs.gc(dry_run=False, grace=NOW)
    lists = world.keys(f"gc/{report.run}/")
    assert [key.rpartition("/")[2] for key in lists] == ["condemned-000001.jsonl", "done.json"]
    assert pack in [json.loads(line)["key"] for line in world.aged.get(lists[0]).splitlines()]
    assert json.loads(world.aged.get(lists[1]))["deleted_objects"] == report.condemned_objects


def test_other_peoples_objects_are_left_alone(pfs, world):
    world.aged.put("notes/readme.txt", b"mine")
    world.pass_time(GRACE * 9)
    assert pfs.gc(dry_run=False).foreign_objects == 1
    assert world.aged.get("notes/readme.txt") == b"mine"


def test_two_runs_at_once(pfs, world):
    pfs.put_file("r@master:/a", b"a" * 2000)
    pfs.drop_commit("r@master")
    pfs.put_file("r@master:/b", b"b" * 2000)
    world.pass_time(GRACE * 2)
    for request in range(0, 30, 2):
        world.interrupt({request: lambda: world.client().gc(dry_run=False)})
        world.client().gc(dry_run=False)
        world.recover()
        assert world.files("r@master") == {"/b": b"b" * 2000}


def test_progress_is_told(pfs):
    pfs.put_file("r@master:/a", b"a" * 2000)
    heard = []
    pfs.gc(progress=lambda phase, done: heard.append((phase, done)))
    assert {phase for phase, _ in heard} == {"mark", "list"}


def test_every_table_is_claimed_by_somebody():
    """Who adds a table says here which objects its rows need: see `airflow_pachy.pfs.upkeep.keepers`."""
    claimed = OWN_TABLES.union(*(keeper.tables for keeper in all_keepers()))
    assert {table.name for table in Base.metadata.sorted_tables} - claimed == set()


def test_without_the_pipelines_keeper_nothing_runs(pfs, world):
    now = utc_now()
    with world.metadata.session() as session:
        session.add(Pipeline(name="p", salt="s", spec={}, output_repo="o", output_branch="m", created=now, updated=now))
    with world.metadata.reader() as session, pytest.raises(InvalidArgument, match="pachy_pipeline"):
        require_claimed(session, [])


def test_another_database_deletes_nothing(pfs, world, tmp_path):
    """An empty database, and one that is behind: whoever mixes them up must not lose a bucket."""
    pfs.put_file("r@master:/a", b"a" * 2000)
    world.metadata.close()
    old = Metadata.open(f"sqlite:///{shutil.copy(tmp_path / 'pachy.db', tmp_path / 'old.db')}")
    for number in range(3):
        pfs.put_file("r@master:/a", b"%d" % number * 2000)
    world.aged.pass_time(GRACE * 9)
    empty = Metadata.open(f"sqlite:///{tmp_path / 'empty.db'}")
    empty.ensure_ready()
    before = world.keys()
    for metadata, named in ((empty, "refs/repos/r.json"), (old, "commits/")):
        client = Pfs(Root(world.aged, metadata, ContentReader(world.aged)))
        for dry_run in (True, False):
            with pytest.raises(Conflict, match=named):
                client.gc(dry_run=dry_run)
        assert [named in one.where for one in client.fsck()].count(True) >= 1
        assert world.keys() == before
        metadata.close()
    assert world.client().gc().condemned_objects == 0
