"""A writer is overtaken at each of its requests by the removal of what it builds on, and by garbage collection."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from airflow_pachy.errors import PachyError

GRACE = timedelta(days=7)
LARGE = (b"large one " * 110_000)[: 1 << 20]
REQUESTS = range(12)


def lose(world, repo):
    """All that `repo` had is removed and collected."""

    def happen():
        pfs = world.client()
        pfs.delete_repo(repo, force=True)
        pfs.create_repo(repo)
        pfs.gc(dry_run=False, grace=GRACE)

    return happen


@pytest.mark.parametrize("request_number", REQUESTS)
def test_a_copy_of_what_vanishes_is_whole(world, request_number):
    pfs = world.pfs
    for repo in ("one", "two"):
        pfs.create_repo(repo)
    pfs.put_file("one@master:/a", b"a" * 600)
    world.pass_time(GRACE * 2)
    pfs = world.client()
    world.interrupt({request_number: lose(world, "one")})
    with suppress(PachyError):
        pfs.copy_file("one@master:/", "two@master:/")
    world.recover()
    assert world.files("two@master") == {"/a": b"a" * 600}


@pytest.mark.parametrize("request_number", REQUESTS)
def test_a_chunk_that_was_found_stays_until_it_is_published(world, request_number):
    pfs = world.pfs
    for repo in ("one", "two"):
        pfs.create_repo(repo)
    pfs.put_file("one@master:/a", LARGE)
    pfs.delete_repo("one")
    world.pass_time(GRACE * 2)
    packs = world.keys("packs/")
    pfs = world.client()
    world.interrupt({request_number: lambda: world.client().gc(dry_run=False, grace=GRACE)})
    pfs.put_file("two@master:/b", LARGE)
    world.recover()
    assert world.files("two@master") == {"/b": LARGE}
    # It was found at once, and not uploaded again.
    assert world.keys("packs/") == packs


@pytest.mark.parametrize("request_number", REQUESTS)
def test_what_a_put_shares_with_its_base_stays(world, request_number):
    pfs = world.pfs
    pfs.create_repo("one")
    pfs.put_file("one@master:/a", LARGE + b"1")
    world.pass_time(GRACE * 2)

    def drop_and_collect():
        other = world.client()
        other.drop_commit("one@master")
        other.gc(dry_run=False, grace=GRACE)

    pfs = world.client()
    world.interrupt({request_number: drop_and_collect})
    pfs.put_file("one@master:/a", LARGE + b"2")
    world.recover()
    assert world.files("one@master") == {"/a": LARGE + b"2"}


@pytest.mark.parametrize("request_number", range(0, 40, 3))
def test_a_collection_overtaken_by_writers_spares_their_work(world, request_number):
    pfs = world.pfs
    for repo in ("one", "two"):
        pfs.create_repo(repo)
    pfs.put_file("one@master:/a", LARGE)
    pfs.put_file("one@master:/b", b"b" * 600)
    pfs.delete_file("one@master:/a")
    pfs.squash_commit("one@master^")
    world.pass_time(GRACE * 2)

    def write():
        other = world.client()
        other.put_file("two@master:/a", LARGE)
        other.copy_file("one@master:/", "two@master:/copy")

    world.interrupt({request_number: write})
    world.client().gc(dry_run=False, grace=GRACE)
    happened = not world.store.coming
    world.recover()
    if happened:
        assert world.files("two@master") == {"/a": LARGE, "/copy/b": b"b" * 600}
