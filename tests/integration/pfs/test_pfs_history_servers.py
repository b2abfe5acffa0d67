"""Branches, tags, flushing and forgetting on servers, and what only these show: writers in each other's way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from airflow_pachy.errors import AlreadyExists, CommitForgotten, NotFound
from airflow_pachy.pfs import Pfs, Trigger

WRITERS, PUTS = 6, 8


@pytest.fixture
def pfs(server_url):
    with Pfs.open("memory://", server_url, principal="user:ada") as client:
        client.create_repo("images")
        yield client


def head(pfs, branch):
    return pfs.inspect_branch(branch).head


def put(pfs, branch, number=0):
    pfs.put_file(f"{branch}:/a", str(number))
    return head(pfs, branch)


def test_conditions_and_schedules_fire(pfs):
    pfs.create_branch("images@grown", trigger=Trigger("staging", size="1K"))
    pfs.create_branch("images@second", trigger=Trigger("staging", commits=2))
    pfs.create_branch("images@rare", trigger=Trigger("second", rate_limit="0 0 1 1 *"))
    pfs.create_branch("images@nightly", trigger=Trigger("second", cron="@every 1h"))
    put(pfs, "images@staging")
    second = put(pfs, "images@staging")
    assert [head(pfs, f"images@{name}") for name in ("grown", "second", "rare")] == [None, second, second]
    pfs.put_file("images@staging:/b", b"x" * 1000)
    assert head(pfs, "images@grown") == head(pfs, "images@staging")
    moved = pfs.tick_triggers(datetime.now(UTC) + timedelta(hours=2))
    assert [(branch.name, branch.head) for branch in moved] == [("nightly", second)]


def test_flushing_follows_provenance(pfs):
    old = put(pfs, "images@master")
    for repo, upstream in (("edges", "images"), ("montage", "edges")):
        pfs.create_repo(repo)
        pfs.create_branch(f"{repo}@master", provenance=[f"{upstream}@master"])
    put(pfs, "edges@master")
    bad = put(pfs, "images@master", 1)
    pfs.create_branch("images@master", head=f"images@{old}")
    with pytest.raises(TimeoutError, match="edges@master, montage@master"):
        pfs.flush_commit([f"images@{bad}"], timeout=0)
    edges, montage = put(pfs, "edges@master", 1), put(pfs, "montage@master")
    assert [info.id for info in pfs.flush_commit([f"images@{bad}"], timeout=0)] == [edges, montage]
    assert pfs.inspect_branch("montage@master").transitive_provenance == ("edges@master", "images@master")


def test_tags_labels_and_forgotten_data(pfs):
    first = put(pfs, "images@master")
    put(pfs, "images@master", 1)
    pfs.tag_commit(f"images@{first}", "v1.0")
    pfs.update_commit("images@v1.0", labels={"a": "ä"})
    assert [info.id for info in pfs.list_commits("images@master", labels={"a": "ä"})] == [first]
    pfs.delete_tag("images@v1.0")
    info = pfs.forget_commit(f"images@{first}")
    assert (info.forgotten_by, info.labels, info.forgotten.tzinfo is not None) == ("user:ada", {"a": "ä"}, True)
    with pytest.raises(CommitForgotten):
        pfs.get_file(f"images@{first}:/a")


def test_of_many_who_tag_at_once_one_wins(pfs):
    commits = [put(pfs, "images@master", number) for number in range(WRITERS)]
    start = threading.Barrier(WRITERS)

    def tag(commit):
        start.wait()
        try:
            return pfs.tag_commit(f"images@{commit}", "v1").commit
        except AlreadyExists:
            return None

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = [one for one in pool.map(tag, commits) if one is not None]
    assert outcomes == [pfs.list_tags("images")[0].commit]


def test_writers_of_a_chain_and_those_who_undo_do_not_block_each_other(pfs):
    """Everybody takes the locks of branches in the order in which they follow each other."""
    pfs.create_branch("images@a-last", trigger=Trigger("b-middle", all=True))
    pfs.create_branch("images@b-middle", trigger=Trigger("c-first", all=True))
    for number in range(WRITERS):
        put(pfs, "images@c-first", number)

    def work(number):
        for count in range(PUTS):
            if number % 3 == 0:
                pfs.put_file(f"images@c-first:/{number}", str(count))
            elif number % 3 == 1:
                pfs.put_file(f"images@b-middle:/{number}", str(count))
            else:
                try:
                    pfs.delete_commit("images@c-first")
                except NotFound:
                    # Somebody else was faster, or nothing is left.
                    continue

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(work, range(WRITERS)))
    last = put(pfs, "images@c-first", 99)
    assert {head(pfs, f"images@{name}") for name in ("a-last", "b-middle", "c-first")} == {last}
