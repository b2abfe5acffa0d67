"""What spouts write is committed in order, each batch once, whatever dies in between."""

from datetime import timedelta

import pytest

from airflow_pachy.errors import (
    BranchMoved,
    InvalidArgument,
    PathConflict,
    PipelineNotFound,
    PipelineStopped,
    StoreUnavailable,
)
from airflow_pachy.metadata import Metadata
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.objects.memory import MemoryStore
from airflow_pachy.pfs.root import Root
from airflow_pachy.pfs.tree.entries import Entry
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.lifecycle import create_pipeline, delete_pipeline, start_pipeline, stop_pipeline
from airflow_pachy.pipelines.spouts import commit_waiting, find_spout, plan_spout, waiting_batches
from airflow_pachy.testing.faulty_store import Died, Fault, FaultyStore
from airflow_pachy.testing.time_travel import AgeingStore
from airflow_pachy.worker.spout_batches import BatchKey, write_batch

FIRST, SECOND = "01AAAAAAAAAAAAAAAAAAAAAAAA", "01BBBBBBBBBBBBBBBBBBBBBBBB"
LARGE = bytes(range(256)) * 8000


def spec(**spout):
    return PipelineSpec.from_dict(
        {"pipeline": {"name": "ticks"}, "transform": {"image": "i", "cmd": ["tick"]}, "spout": spout}
    )


class World:
    def __init__(self, home, **spout):
        self.aged = AgeingStore(MemoryStore())
        self.home = home
        self.recover()
        ensure_format(self.aged)
        self.spout = plan_spout(self.pfs, spec(**spout))

    def recover(self):
        """Begin as another process does."""
        self.metadata = Metadata.open(f"sqlite:///{self.home}/pachy.db")
        self.metadata.ensure_ready()
        self.pfs = self.client(self.aged)

    def client(self, store):
        return Pfs(Root(store, self.metadata, ContentReader(store)))

    def leave(self, life, sequence, *files):
        """What a helper records: pairs of path and content."""
        with ContentWriter(self.aged) as writer:
            entries = [Entry(path, writer.write(content)) for path, content in files]
        marker = self.spout.marker
        marked = bool(marker) and any(path.partition("/")[0] == marker for path, _ in files)
        write_batch(self.aged, BatchKey(self.spout.stream, life, sequence, marked), entries, started_us=1)

    def history(self, branch="ticks@master"):
        """The files of each commit of the branch, the oldest first."""
        commits = self.pfs.list_commits(branch, reverse=True)
        return [self.files(f"{branch.partition('@')[0]}@{one.id}") for one in commits]

    def files(self, address):
        found = self.pfs.walk_file(f"{address}:/")
        return {one.path: self.pfs.get_file(f"{address}:{one.path}") for one in found if one.type == "file"}


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.pfs.close()


def test_each_batch_is_a_commit_in_the_order_of_lives_and_sequences(world):
    world.leave(SECOND, 1, ("c", b"3"))
    world.leave(FIRST, 1, ("a", b"1"))
    world.leave(FIRST, 2, ("b", b"2"))
    made = commit_waiting(world.pfs, world.spout)
    assert world.history() == [{"/a": b"1"}, {"/a": b"1", "/b": b"2"}, {"/a": b"1", "/b": b"2", "/c": b"3"}]
    info = world.pfs.inspect_commit(f"ticks@{made[0]}")
    assert info.description == f"batch 1 of life {FIRST}"
    assert commit_waiting(world.pfs, world.spout) == []


def test_files_are_appended_to(world):
    world.leave(FIRST, 1, ("log", b"1"), ("log", b"2"), ("large", LARGE))
    world.leave(FIRST, 2, ("log", b"3"), ("large", b"tail"))
    commit_waiting(world.pfs, world.spout)
    assert world.files("ticks@master") == {"/log": b"123", "/large": LARGE + b"tail"}
    world.pfs.put_file("ticks@master:/same", LARGE + b"tail")
    one, other = (world.pfs.inspect_file(f"ticks@master:/{name}").hash for name in ("large", "same"))
    assert one == other


def test_or_replaced(tmp_path):
    world = World(tmp_path, overwrite=True)
    world.leave(FIRST, 1, ("log", b"1"), ("log", b"2"))
    world.leave(FIRST, 2, ("log", b"3"))
    commit_waiting(world.pfs, world.spout)
    assert world.history() == [{"/log": b"2"}, {"/log": b"3"}]


def test_markers_go_to_a_branch_of_their_own_together_with_their_batch(tmp_path):
    world = World(tmp_path, marker="offset")
    world.leave(FIRST, 1, ("a", b"1"), ("offset", b"1"))
    world.leave(FIRST, 2, ("b", b"2"), ("offset", b"2"))
    commit_waiting(world.pfs, world.spout)
    assert world.files("ticks@master") == {"/a": b"1", "/b": b"2"}
    assert world.history("ticks@marker") == [{"/offset": b"1"}, {"/offset": b"2"}]


@pytest.mark.parametrize(
    ("kind", "at"), [("dead", at) for at in range(1, 14, 2)] + [("lost answer", 3), ("unavailable", 5)]
)
def test_a_crash_at_any_request_loses_and_doubles_nothing(tmp_path, kind, at):
    world = World(tmp_path, marker="offset")
    for number in range(1, 4):
        note = b"%d" % number
        world.leave(FIRST, number, ("log", note), ("big", LARGE[: 600 * number]), ("offset", note))
    faulty = FaultyStore(world.aged, Fault("put", kind, on=at))
    with pytest.raises((Died, StoreUnavailable)):
        commit_waiting(world.client(faulty), world.spout)
    world.recover()
    before = len(world.history())
    assert before < 3
    assert len(commit_waiting(world.pfs, world.spout)) == 3 - before
    assert [one["/log"] for one in world.history()] == [b"1", b"12", b"123"]
    assert [one["/offset"] for one in world.history("ticks@marker")] == [b"1", b"2", b"3"]
    assert world.files("ticks@master")["/big"] == LARGE[:600] + LARGE[:1200] + LARGE[:1800]


def test_of_two_that_look_after_one_spout_one_comes_second(world):
    for number in range(1, 4):
        world.leave(FIRST, number, ("log", b"%d" % number))
    keys = list(waiting_batches(world.pfs, world.spout))
    assert len(keys) == 3
    commit_waiting(world.pfs, world.spout, limit=2)
    # The other has seen all three waiting.
    from airflow_pachy.pipelines import spouts

    assert [spouts._commit(world.pfs, world.spout, key) is None for key in keys] == [True, True, False]
    assert [one["/log"] for one in world.history()] == [b"1", b"12", b"123"]


def test_a_quick_look_sees_the_newest_life_and_a_whole_one_what_came_late(world):
    world.leave(FIRST, 1, ("a", b"1"))
    world.leave(SECOND, 1, ("b", b"1"))
    commit_waiting(world.pfs, world.spout)
    world.leave(FIRST, 2, ("late", b"1"))
    world.leave(SECOND, 2, ("new", b"1"))
    assert [key.life for key in waiting_batches(world.pfs, world.spout, whole=False)] == [SECOND]
    assert [key.life for key in waiting_batches(world.pfs, world.spout)] == [FIRST, SECOND]


def test_a_stopped_spout_commits_nothing_until_it_is_started(world):
    world.leave(FIRST, 1, ("a", b"1"))
    stop_pipeline(world.pfs, "ticks", "enough")
    with pytest.raises(PipelineStopped, match="enough"):
        commit_waiting(world.pfs, world.spout)
    with pytest.raises(PipelineStopped):
        find_spout(world.pfs, "ticks")
    assert world.history() == []
    start_pipeline(world.pfs, "ticks")
    assert len(commit_waiting(world.pfs, world.spout)) == 1


def test_an_open_commit_on_the_branch_is_waited_for(world):
    world.leave(FIRST, 1, ("a", b"1"))
    commit = world.pfs.start_commit("ticks@master")
    with pytest.raises(BranchMoved):
        commit_waiting(world.pfs, world.spout)
    world.pfs.finish_commit(f"ticks@{commit.id}", empty=True)
    assert len(commit_waiting(world.pfs, world.spout)) == 1


def test_a_file_where_a_directory_is_stops_it_until_that_is_mended(world):
    world.leave(FIRST, 1, ("a/b", b"1"))
    world.leave(FIRST, 2, ("a", b"1"))
    with pytest.raises(PathConflict, match="a"):
        commit_waiting(world.pfs, world.spout)
    world.pfs.delete_file("ticks@master:/a")
    commit_waiting(world.pfs, world.spout)
    assert world.files("ticks@master") == {"/a": b"1"}


def test_what_waits_survives_garbage_collection_and_what_is_committed_does_not(tmp_path):
    world = World(tmp_path, marker="offset")
    world.leave(FIRST, 1, ("a", b"1" * 600), ("offset", b"1"))
    world.leave(FIRST, 2, ("a", b"2" * 600), ("offset", b"2"))
    world.leave(FIRST, 3, ("a", b"3" * 600))
    commit_waiting(world.pfs, world.spout, limit=2)
    now = timedelta(0)
    with world.metadata.session() as session:
        from sqlalchemy import update

        from airflow_pachy.metadata.models import SpoutPosition
        from airflow_pachy.pfs.heads import utc_now

        session.execute(update(SpoutPosition).values(updated=utc_now() - timedelta(days=30)))
    world.pfs.gc(dry_run=False, grace=now)
    left = [info.key.rpartition("/")[2] for info in world.aged.list_keys("spouts/")]
    assert left == ["000000000002-m.parquet", "000000000003.parquet"]
    commit_waiting(world.pfs, world.spout)
    assert world.files("ticks@master") == {"/a": b"1" * 600 + b"2" * 600 + b"3" * 600}


def test_a_database_made_anew_from_the_bucket_commits_nothing_twice(world, tmp_path):
    world.leave(FIRST, 1, ("log", b"1"))
    commit_waiting(world.pfs, world.spout)
    world.leave(FIRST, 2, ("log", b"2"))
    new = Metadata.open(f"sqlite:///{tmp_path}/new.db")
    new.ensure_ready()
    with Pfs(Root(world.aged, new, ContentReader(world.aged))) as pfs:
        pfs.fsck(rebuild=True)
        assert len(commit_waiting(pfs, find_spout(pfs, "ticks"))) == 1
        assert pfs.get_file("ticks@master:/log") == b"12"


def test_reprocessing_begins_another_stream(world):
    world.leave(FIRST, 1, ("a", b"1"))
    create_pipeline(world.pfs, spec(), update=True, reprocess=True)
    again = find_spout(world.pfs, "ticks")
    assert again.stream != world.spout.stream
    assert commit_waiting(world.pfs, again) == []


def test_a_deleted_spout_is_said_to_be(world):
    delete_pipeline(world.pfs, "ticks")
    with pytest.raises(PipelineNotFound, match="deleted"):
        find_spout(world.pfs, "ticks")
    world.leave(FIRST, 1, ("a", b"1"))
    with pytest.raises(PipelineNotFound, match="deleted"):
        commit_waiting(world.pfs, world.spout)


def test_a_marker_that_cannot_lie_below_pfs_is_refused(world):
    with pytest.raises(InvalidArgument, match="marker"):
        plan_spout(world.pfs, spec(marker="a/b"))
