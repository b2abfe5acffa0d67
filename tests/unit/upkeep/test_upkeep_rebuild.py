"""The database is lost; the bucket has everything."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from airflow_pachy.errors import Conflict, StoreUnavailable
from airflow_pachy.metadata import Metadata
from airflow_pachy.metadata.models import (
    Branch,
    BranchProvenance,
    Commit,
    CommitProvenance,
    Grant,
    HeadMove,
    Job,
    JobInput,
    Pipeline,
    Repo,
    Tag,
)
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.mirror import CommitMirror, mirror_key, read_mirror, write_mirror
from airflow_pachy.pfs.objects.memory import MemoryStore
from airflow_pachy.pfs.root import Root
from airflow_pachy.testing.faulty_store import Fault

TABLES = (Repo, Branch, BranchProvenance, Commit, CommitProvenance, Tag, HeadMove, Pipeline, Job, JobInput, Grant)
# What only the process that wrote a commit needs.
PRIVATE = {"seen_ordinal", "heartbeat", "moved"}


def rows(metadata):
    with metadata.reader() as session:
        return {
            model.__tablename__: sorted(
                repr({name: value for name, value in row.items() if name not in PRIVATE})
                for row in session.execute(select(model.__table__)).mappings()
            )
            for model in TABLES
        }


def rebuilt(pfs, tmp_path):
    metadata = Metadata.open(f"sqlite:///{tmp_path / 'rebuilt.db'}")
    metadata.ensure_ready()
    fresh = Pfs(Root(pfs.store, metadata, ContentReader(pfs.store)))
    return fresh, fresh.fsck(rebuild=True)


@pytest.fixture
def pfs(world):
    return world.pfs


def test_everything_comes_back(pfs, tmp_path):
    pfs.create_repo("photos", description="of the sea\nand the shore")
    pfs.create_repo("edges")
    pfs.set_retention("photos", keep_last=3, keep_days=9)
    pfs.put_file("photos@master:/a", b"1")
    pfs.put_file("photos@master:/b", b"2")
    pfs.create_branch("edges@master", provenance=["photos@master"])
    pfs.put_file("edges@master:/a", b"edge")
    pfs.create_branch("photos@old", head="photos@master^")
    pfs.create_branch("photos@old", head="photos@master")
    pfs.put_file("photos@master:/removed", b"-")
    pfs.put_file("photos@master:/c", b"3")
    pfs.tag_commit("photos@master", "best")
    pfs.squash_commit("photos@master^")
    pfs.put_file("photos@gone:/x", b"x")
    pfs.delete_branch("photos@gone")
    pfs.put_file("photos@gone:/y", b"y")
    pfs.grant("photos", "user:ada", "OWNER")
    pfs.start_commit("photos@failed")
    pfs.finish_commit("photos@failed", error="it did not work")
    before = rows(pfs.metadata)
    fresh, problems = rebuilt(pfs, tmp_path)
    assert problems == []
    assert rows(fresh.metadata) == before
    assert fresh.get_file("photos@master:/c") == b"3"
    # And it goes on from there.
    fresh.put_file("photos@master:/d", b"4")
    assert [one.id for one in fresh.subvenance("photos@master^^")] == [
        one.id for one in pfs.subvenance("photos@master^")
    ]
    fresh.metadata.close()


def test_open_commits_are_lost_and_nothing_else_is(pfs, tmp_path):
    pfs.create_repo("r")
    pfs.put_file("r@master:/a", b"1")
    pfs.start_commit("r@master")
    pfs.put_file("r@master:/a", b"2")
    fresh, problems = rebuilt(pfs, tmp_path)
    assert problems == []
    assert fresh.inspect_branch("r@master").head == pfs.inspect_branch("r@master").head
    assert fresh.get_file("r@master:/a") == b"1"
    fresh.metadata.close()


def test_a_commit_that_lost_its_race_stays_out(pfs, tmp_path):
    pfs.create_repo("r")
    pfs.put_file("r@master:/a", b"1")
    pfs.put_file("r@master:/a", b"2")
    pfs.put_file("r@master:/a", b"3")
    second = pfs.inspect_commit("r@master^")
    document = read_mirror(pfs.store, second.id)
    document["id"] = "0" * 32
    pfs.store.put(f"commits/00/{'0' * 32}.json", json.dumps(document).encode())
    before = rows(pfs.metadata)
    fresh, problems = rebuilt(pfs, tmp_path)
    assert rows(fresh.metadata) == before
    assert ["0" * 32 in one.where for one in problems] == [True]
    fresh.metadata.close()


def test_a_repo_made_anew_does_not_get_its_old_commits_back(pfs, tmp_path):
    pfs.create_repo("r")
    pfs.put_file("r@master:/old", b"1")
    left = mirror_key(pfs.inspect_commit("r@master").id)
    body = pfs.store.get(left)
    pfs.delete_repo("r")
    pfs.create_repo("r")
    pfs.put_file("r@master:/new", b"2")
    pfs.store.put(left, body)  # as whoever deleted the repo leaves it, when killed
    before = rows(pfs.metadata)
    fresh, problems = rebuilt(pfs, tmp_path)
    assert rows(fresh.metadata) == before
    assert len(problems) == 1
    assert "was deleted" in str(problems[0])
    fresh.metadata.close()


def test_a_database_that_is_in_use_is_not_touched(pfs):
    pfs.create_repo("r")
    with pytest.raises(Conflict, match="is not empty"):
        pfs.fsck(rebuild=True)


def test_a_history_of_ten_thousand_commits(tmp_path):
    """Mirrors alone: making the commits one by one would be a test of something else."""
    store, metadata = MemoryStore(), Metadata.open(f"sqlite:///{tmp_path / 'pachy.db'}")
    metadata.ensure_ready()
    ensure_format(store)
    pfs = Pfs(Root(store, metadata, ContentReader(store)))
    pfs.create_repo("r")
    pfs.put_file("r@master:/a", b"x")
    first = pfs.inspect_commit("r@master")
    with metadata.session() as session:
        root = session.get_one(Commit, first.id)
    commits, moves, parent = [], [], first.id
    began = datetime.now(UTC)
    for number in range(2, 10_001):
        when = began + timedelta(seconds=number)
        commit = CommitMirror.of(
            root, [], id=f"{number:032x}", parent=parent, ordinal=number, started=when, finished=when
        )
        write_mirror(store, commit)
        commits.append({name: getattr(commit, name) for name in CommitMirror.columns()})
        moves.append({"repo": "r", "branch": "master", "ordinal": number, "commit": commit.id, "moved": when})
        parent = commit.id
    with metadata.session() as session:
        session.execute(insert(Commit.__table__), commits)
        session.execute(insert(HeadMove.__table__), moves)
        branch = session.get_one(Branch, ("r", "master"))
        branch.head, branch.ordinal = parent, 10_000
    before = rows(metadata)
    fresh, problems = rebuilt(pfs, tmp_path)
    assert problems == []
    assert rows(fresh.metadata) == before
    assert fresh.inspect_commit("r@master~9999").id == first.id
    fresh.metadata.close()
    metadata.close()


def test_putting_files_into_a_branch_writes_one_copy_and_no_more(pfs, world):
    pfs.create_repo("r")
    pfs.put_file("r@master:/a", b"1")
    refs, before = world.keys("refs/"), set(world.keys())
    world.interrupt({})
    pfs.put_file("r@master:/a", b"2")
    assert world.keys("refs/") == refs
    assert sorted(key.partition("/")[0] for key in set(world.keys()) - before) == ["commits", "nodes"]


def test_copies_follow_their_records(pfs, world):
    pfs.create_repo("r")
    pfs.create_repo("s")
    pfs.put_file("r@master:/a", b"1")
    pfs.create_branch("s@b", provenance=["r@master"])
    pfs.create_branch("r@dev", head="r@master")
    assert world.keys("refs/") == [
        "refs/branches/r/dev.json",
        "refs/branches/r/master.json",
        "refs/branches/s/b.json",
        "refs/moves/r/dev/1.json",
        "refs/repos/r.json",
        "refs/repos/s.json",
    ]
    pfs.delete_branch("r@dev")
    pfs.delete_repo("r", force=True)
    assert world.keys("refs/") == ["refs/branches/s/b.json", "refs/repos/s.json"]
    assert json.loads(world.aged.get("refs/branches/s/b.json"))["pachy_branch_provenance"] == []


def test_a_store_that_fails_keeps_the_record_from_being_made(pfs, world):
    world.faulty.faults = [Fault("put", "unavailable", 0, "refs/")]
    with pytest.raises(StoreUnavailable):
        pfs.create_repo("r")
    world.recover()
    assert list(pfs.list_repos()) == []
    pfs.create_repo("r")
