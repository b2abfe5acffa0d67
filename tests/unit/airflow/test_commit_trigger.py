"""The watcher: what it fires, and what it does not."""

import asyncio

import pytest

from airflow_pachy.triggers import commits
from airflow_pachy.triggers.commits import CURSOR, PfsCommitTrigger

IMAGES = ("images", "master")


class StateStore:
    """The two methods of Airflow's asset state store, kept in a dict."""

    def __init__(self, values=None, *, broken=False):
        self.values = values or {}
        self.broken = broken

    async def aget(self, key, default=None):
        if self.broken:
            raise RuntimeError("the api server is away")
        return self.values.get(key, default)

    async def aset(self, key, value):
        if self.broken:
            raise RuntimeError("the api server is away")
        self.values[key] = value


async def stream(*snapshots):
    for snapshot in snapshots:
        yield snapshot


async def fired(trigger, *snapshots):
    return [event.payload async for event in trigger.filter_shared_stream(stream(*snapshots))]


def head(ordinal):
    return {IMAGES: (ordinal, f"commit-{ordinal}")}


def payload(ordinal):
    return {"repo": "images", "branch": "master", "commit": f"commit-{ordinal}"}


async def test_each_move_of_the_head_fires_once():
    trigger = PfsCommitTrigger("images")
    assert await fired(trigger, {}, head(1), head(1), head(2), head(2)) == [payload(1), payload(2)]


async def test_commits_between_two_looks_are_one_event_with_the_newest():
    assert await fired(PfsCommitTrigger("images"), head(1), head(7)) == [payload(1), payload(7)]


async def test_other_branches_do_not_fire():
    assert await fired(PfsCommitTrigger("images", "staging"), head(1)) == []


async def test_what_was_seen_survives_a_restart():
    store = StateStore()
    first, second = PfsCommitTrigger("images"), PfsCommitTrigger("images")
    first.asset_state_store = second.asset_state_store = store
    assert await fired(first, head(3)) == [payload(3)]
    assert store.values == {CURSOR: [3, "commit-3"]}
    assert await fired(second, head(3), head(4)) == [payload(4)]


async def test_a_head_moved_back_fires_too():
    store = StateStore({CURSOR: [2, "commit-2"]})
    trigger = PfsCommitTrigger("images")
    trigger.asset_state_store = store
    assert await fired(trigger, {IMAGES: (3, "commit-1")}) == [
        {"repo": "images", "branch": "master", "commit": "commit-1"}
    ]


async def test_a_state_store_that_is_away_costs_an_event_too_many_not_one_too_few():
    trigger = PfsCommitTrigger("images")
    trigger.asset_state_store = StateStore(broken=True)
    assert await fired(trigger, head(1), head(1)) == [payload(1)]


async def test_the_event_comes_before_the_memory_of_it():
    store = StateStore()
    trigger = PfsCommitTrigger("images")
    trigger.asset_state_store = store
    events = trigger.filter_shared_stream(stream(head(1)))
    await anext(events)
    assert store.values == {}
    await events.aclose()


async def test_without_a_state_store_it_works_from_memory():
    trigger = PfsCommitTrigger("images")
    if hasattr(trigger, "asset_state_store"):
        del trigger.asset_state_store  # Airflow < 3.3
    assert await fired(trigger, head(1), head(1), head(2)) == [payload(1), payload(2)]


def test_watchers_of_one_connection_share_one_poll():
    keys = {PfsCommitTrigger(repo).shared_stream_key() for repo in ("images", "edges")}
    assert len(keys) == 1
    assert PfsCommitTrigger("images", pfs_conn_id="lab").shared_stream_key() not in keys


def test_a_trigger_comes_back_from_airflows_database():
    path, kwargs = PfsCommitTrigger("images", "staging", "lab", 5).serialize()
    assert path == "airflow_pachy.triggers.commits.PfsCommitTrigger"
    assert PfsCommitTrigger(**kwargs).serialize() == (path, kwargs)


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    from airflow_pachy.pfs import Pfs

    monkeypatch.setenv("PACHY_STORAGE", (tmp_path / "objects").as_uri())
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path}/pachy.db")
    with Pfs.open() as pfs:
        yield pfs


async def first_event(trigger):
    async for event in trigger.run():
        return event.payload
    return None


async def test_it_sees_real_commits(embedded):
    trigger = PfsCommitTrigger("images", poll_interval=0.01)
    waiting = asyncio.create_task(first_event(trigger))
    embedded.create_repo("images")
    embedded.put_file("images@master:/a", b"a")
    commit = embedded.inspect_commit("images@master").id
    assert await asyncio.wait_for(waiting, 30) == {"repo": "images", "branch": "master", "commit": commit}


async def test_the_shared_poll_asks_for_the_watched_branches(embedded):
    embedded.create_repo("images")
    embedded.put_file("images@master:/a", b"a")
    embedded.create_repo("other")
    embedded.put_file("other@master:/a", b"a")
    trigger = PfsCommitTrigger("images", poll_interval=0.01)
    shared = PfsCommitTrigger.open_shared_stream(trigger.serialize()[1])
    events = trigger.filter_shared_stream(shared)
    event = await asyncio.wait_for(anext(events), 30)
    assert event.payload["repo"] == "images"
    assert set(await asyncio.wait_for(anext(shared), 30)) == {IMAGES}
    await events.aclose()
    await shared.aclose()
    assert not commits._watched["pachy_default"]


async def test_a_database_that_is_away_is_waited_for(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("PACHY_STORAGE", (tmp_path / "objects").as_uri())
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path}/not-yet/pachy.db")
    waiting = asyncio.create_task(first_event(PfsCommitTrigger("images", poll_interval=0.01)))
    while "trying again" not in caplog.text:
        await asyncio.sleep(0.01)
    (tmp_path / "not-yet").mkdir()
    from airflow_pachy.pfs import Pfs

    with Pfs.open() as pfs:
        pfs.create_repo("images")
        pfs.put_file("images@master:/a", b"a")
    assert (await asyncio.wait_for(waiting, 60))["repo"] == "images"
