"""What the check finds, says and repairs."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, update

from airflow_pachy.metadata.models import Branch, Commit, CommitProvenance, Delta, StoredObject, Tag
from airflow_pachy.pfs.mirror import mirror_key

LARGE = (b"large one " * 220_000)[: 2 << 20]


@pytest.fixture
def pfs(world):
    pfs = world.pfs
    pfs.create_repo("r")
    pfs.put_file("r@master:/a", b"a" * 2000)
    pfs.put_file("r@master:/b", LARGE)
    pfs.put_file("r@master:/c", b"c")
    pfs.create_branch("r@dev", head="r@master^")
    return pfs


def check(world, **options):
    return world.client(world.aged).fsck(**options)


def repaired(world, expected):
    """Found, repaired, and then gone."""
    (found,) = check(world)
    assert expected in str(found)
    assert (found.repairable, found.fixed) == (True, False)
    (fixed,) = check(world, fix=True)
    assert fixed.fixed
    assert "fixed" in str(fixed)
    assert check(world) == []


def test_nothing_is_wrong(pfs, world):
    pfs.tag_commit("r@master", "best")
    pfs.start_commit("r@open")
    pfs.put_file("r@open:/x", b"x" * 2000)
    pfs.create_branch("r@dev", head="r@master")
    pfs.squash_commit("r@master^")
    assert check(world, deep=True) == []


def test_a_lost_mirror(pfs, world):
    world.aged.delete([mirror_key(pfs.inspect_commit("r@master").id)])
    repaired(world, "no copy")


def test_a_mirror_that_says_something_else(pfs, world):
    key = mirror_key(pfs.inspect_commit("r@master").id)
    world.aged.put(key, json.dumps({**json.loads(world.aged.get(key)), "author": "nobody"}).encode())
    repaired(world, "differs")


def test_a_lost_copy_of_a_branch(pfs, world):
    world.aged.delete(["refs/branches/r/dev.json"])
    repaired(world, "branches r dev")


def test_a_copy_of_nothing(pfs, world):
    world.aged.put("refs/repos/ghost.json", b"{}")
    assert check(world) == []
    world.aged.pass_time(timedelta(days=2))
    (found,) = check(world, fix=True)
    assert (found.where, found.fixed) == ("refs/repos/ghost.json", False)
    assert "not the right database" in found.advice


def test_an_open_commit_that_is_not_open(pfs, world):
    with world.metadata.session() as session:
        session.execute(update(Branch).where(Branch.name == "dev").values(open_commit="0" * 32))
    repaired(world, "r@dev")


def test_dangling_rows(pfs, world):
    head = pfs.inspect_commit("r@master").id
    with world.metadata.session() as session:
        session.execute(insert(CommitProvenance).values(commit=head, upstream="1" * 32))
    (found,) = [one for one in check(world) if "derives" in str(one)]
    assert "1" * 32 in found.what
    check(world, fix=True)
    assert check(world) == []


def test_a_branch_without_its_head(pfs, world):
    with world.metadata.session() as session:
        session.execute(update(Branch).where(Branch.name == "dev").values(head="2" * 32))
    (found,) = check(world)
    assert not found.repairable
    assert "pachy create branch r@dev --head" in found.advice


def test_a_lost_node_names_its_commit(pfs, world):
    pfs.put_file("r@solo:/x", b"x")
    root = pfs.tree("r@solo").root
    world.aged.delete([root.object])
    problems = check(world)
    assert f"commit r@{pfs.inspect_branch('r@solo').head}" in [one.where for one in problems]


def test_a_damaged_node(pfs, world):
    pfs.put_file("r@solo:/x", b"x")
    node = pfs.tree("r@solo").root.object
    other = pfs.tree("r@master").root.object
    world.aged.put(node, world.aged.get(other))
    problems = check(world)
    assert any("holds rows of id" in one.what for one in problems)


def test_a_lost_pack_and_one_cut_short(pfs, world):
    packs = world.keys("packs/")
    world.aged.delete([packs[0]])
    world.aged.put(packs[1], world.aged.get(packs[1])[:-1])
    found = " ".join(map(str, check(world)))
    assert f"{packs[0]} is not there" in found
    assert f"{packs[1]} was cut short" in found


def test_damaged_content_is_found_by_reading_it(pfs, world):
    for pack in world.keys("packs/"):
        body = bytearray(world.aged.get(pack))
        body[100] ^= 1
        world.aged.put(pack, body)
    assert check(world) == []
    assert sorted(one.what.split()[0] for one in check(world, deep=True)) == ["/a", "/b"]


def test_a_chunk_on_offer_that_is_not_there(pfs, world):
    with world.metadata.session() as session:
        session.execute(update(StoredObject).values(object="packs/00/gone"))
        chunks = session.query(StoredObject).count()
    assert len(check(world)) == chunks
    check(world, fix=True)
    assert check(world) == []


def test_a_tag_of_nothing_and_a_parent_that_is_gone(pfs, world):
    pfs.tag_commit("r@dev", "old")
    with world.metadata.session() as session:
        session.execute(update(Tag).values(commit="3" * 32))
        session.execute(update(Commit).where(Commit.parent.is_(None)).values(parent="4" * 32))
    found = " ".join(map(str, check(world, fix=True)))
    assert "tag r@old" in found
    assert "its parent" in found
    assert check(world) == []


def test_an_open_commit_without_its_changes(pfs, world):
    pfs.start_commit("r@open")
    pfs.put_file("r@open:/x", b"x" * 2000)
    world.aged.delete(world.keys("deltas/"))
    (found,) = check(world)
    assert "deltas/" in found.what
    with world.metadata.session() as session:
        session.execute(delete(Delta))
    assert check(world) == []


def test_another_format(pfs, world):
    world.aged.put("format.json", b'{"format": 99, "hash": "blake3"}')
    (found,) = check(world)
    assert found.where == "format.json"
