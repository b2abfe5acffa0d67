"""Backup and restore of a whole root."""

from __future__ import annotations

import tarfile

import pytest
from support.roots import everything

from airflow_pachy.errors import AlreadyExists, Conflict, Corrupt, InvalidArgument
from airflow_pachy.metadata import Metadata
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.root import Root
from airflow_pachy.testing.faulty_store import Died, Fault, FaultyStore

LARGE = b"0123456789abcdef" * 100_000


@pytest.fixture
def pfs(world):
    pfs = world.pfs
    pfs.create_repo("one", description="é\nline")
    pfs.put_file("one@master:/large", LARGE)
    pfs.put_file("one@master:/d/small", b"s" * 700)
    pfs.put_file("one@master:/tiny", b"t")
    pfs.create_repo("two")
    pfs.create_branch("two@master", provenance=["one@master"])
    pfs.start_commit("two@master")
    pfs.put_file("two@master:/open", b"o" * 600)
    pfs.create_repo("gone")
    pfs.put_file("gone@master:/x", b"x" * 800)
    pfs.delete_repo("gone")
    return pfs


@pytest.fixture
def empty(tmp_path):
    with Pfs.open((tmp_path / "restored").as_uri(), f"sqlite:///{tmp_path / 'restored.db'}") as client:
        yield client


@pytest.mark.parametrize("kind", ["tar", "url"])
def test_a_root_goes_through_an_archive_unchanged(pfs, empty, tmp_path, kind):
    place = tmp_path / "root.tar" if kind == "tar" else (tmp_path / "archive").as_uri()
    made = pfs.extract(place)
    restored = empty.restore(place)
    assert restored == made
    assert everything(empty) == everything(pfs)
    assert empty.get_file("one@master:/large") == LARGE
    assert empty.get_file("one@master:/d/small") == b"s" * 700
    empty.finish_commit("two@master")
    assert empty.get_file("two@master:/open") == b"o" * 600
    assert empty.fsck(deep=True) == []


def test_metadata_alone(pfs, world, tmp_path):
    pfs.extract(tmp_path / "rows.tar", objects=False)
    with tarfile.open(tmp_path / "rows.tar") as file:
        assert not [name for name in file.getnames() if name.startswith("objects/")]
    # The bucket is where it was; the database is new.
    metadata = Metadata.open(f"sqlite:///{tmp_path / 'new.db'}")
    metadata.ensure_ready()
    beside = Pfs(Root(world.aged, metadata, ContentReader(world.aged)))
    beside.restore(tmp_path / "rows.tar")
    assert everything(beside) == everything(pfs)
    assert beside.get_file("one@master:/large") == LARGE
    metadata.close()


def test_a_root_in_use_is_left_alone(pfs, tmp_path):
    pfs.extract(tmp_path / "root.tar")
    with pytest.raises(Conflict, match="not empty"):
        pfs.restore(tmp_path / "root.tar")


def test_a_bucket_in_use_is_left_alone(pfs, empty, tmp_path):
    pfs.extract(tmp_path / "root.tar")
    empty.store.put("nodes/aa/other", b"x")
    with pytest.raises(Conflict, match="not empty"):
        empty.restore(tmp_path / "root.tar")


def test_nothing_is_overwritten(pfs, tmp_path):
    (tmp_path / "root.tar").write_bytes(b"precious")
    with pytest.raises(AlreadyExists, match=r"root\.tar"):
        pfs.extract(tmp_path / "root.tar")
    assert (tmp_path / "root.tar").read_bytes() == b"precious"


@pytest.mark.parametrize("damage", ["cut", "changed", "other"])
def test_a_damaged_archive_changes_nothing(pfs, empty, tmp_path, damage):
    pfs.extract(tmp_path / "root.tar")
    body = bytearray((tmp_path / "root.tar").read_bytes())
    if damage == "cut":
        del body[len(body) // 2 :]
    elif damage == "changed":
        body[body.index(LARGE[:64]) + 5] ^= 1
    else:
        body = bytearray(b"not a tar")
    (tmp_path / "bad.tar").write_bytes(body)
    with pytest.raises(Corrupt):
        empty.restore(tmp_path / "bad.tar")
    assert list(empty.list_repos()) == []


def test_an_interrupted_restore_is_done_again(pfs, empty, tmp_path):
    pfs.extract(tmp_path / "root.tar")
    good = empty._root.store
    object.__setattr__(empty._root, "store", FaultyStore(good, Fault("put", "dead", 5)))
    with pytest.raises(Died):
        empty.restore(tmp_path / "root.tar")
    object.__setattr__(empty._root, "store", good)
    assert list(empty.list_repos()) == []
    empty.restore(tmp_path / "root.tar")
    assert everything(empty) == everything(pfs)
    assert empty.fsck(deep=True) == []


def test_a_place_that_cannot_be(pfs):
    with pytest.raises(InvalidArgument, match="ftp"):
        pfs.extract("ftp://host/file")
