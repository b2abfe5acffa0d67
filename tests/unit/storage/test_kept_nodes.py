"""Nodes kept on this machine: never a wrong answer, never more than there may be, nothing that others could change."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.layered import LayeredStore
from airflow_pachy.pfs.objects import CountingStore, MemoryStore
from airflow_pachy.pfs.objects.kept import KeptStore, NodeFiles, seems_kept, with_copies
from airflow_pachy.pfs.tree import Content, Entry, Layout, NodeCache, Put, Tree

SMALL = Layout(leaf_target=16, inner_target=8)
KEY = f"nodes/ab/{'ab' * 32}.{'0' * 26}"


def key(number):
    return f"nodes/{number % 256:02x}/{number:064x}.{'0' * 26}"


def names(directory):
    return sorted(str(one.relative_to(directory)) for one in directory.rglob("*") if one.is_file())


@pytest.fixture
def files(tmp_path):
    return NodeFiles(tmp_path / "nodes", 1 << 20)


@pytest.fixture
def store():
    return CountingStore(MemoryStore())


@pytest.fixture
def kept(store, files):
    return KeptStore(store, files)


def tree_on(store, count=2000):
    entries = (Entry(f"d/{n:05d}", Content(hash_bytes(b"x"), 1, (), b"x")) for n in range(count))
    return Tree(store, None, NodeCache(), layout=SMALL).apply(map(Put, entries))


def read(store, tree):
    return [entry.path for entry in Tree(store, tree.root, NodeCache(), layout=SMALL).entries()]


def test_what_was_written_or_read_here_is_not_fetched_again(store, files, tmp_path):
    tree = tree_on(KeptStore(store, files))
    assert len(read(KeptStore(store, files), tree)) == 2000
    assert store.counts.requests["get"] == 0
    elsewhere = KeptStore(store, NodeFiles(tmp_path / "elsewhere", 1 << 20))
    assert len(read(elsewhere, tree)) == 2000
    nodes = store.counts.requests["get"]
    assert nodes == store.counts.requests["put"] > 100
    assert len(read(KeptStore(store, NodeFiles(tmp_path / "elsewhere", 1 << 20)), tree)) == 2000
    assert store.counts.requests["get"] == nodes


def test_only_whole_nodes_are_kept(kept, store, tmp_path):
    for other in ("packs/ab/1", "commits/ab/1.json"):
        kept.put(other, b"body")
        assert kept.get(other) == b"body"
    files = NodeFiles(tmp_path / "nodes", 1 << 20)
    for other in ("nodes/ab/../../escaped", f"nodes/ab/{'ab' * 32}.../../../escaped", f"{KEY}\n", KEY.lower() + "x"):
        files.put(other, b"body")
        files.discard(other)
        assert files.get(other) is None
    store.put(KEY, b"0123456789")
    assert kept.get(KEY, offset=2, length=3) == b"234"
    assert names(tmp_path) == []
    with pytest.raises(ObjectNotFound):
        kept.get(key(1))
    assert names(tmp_path) == []


def test_a_node_is_kept_only_once_the_store_has_it(files, tmp_path):
    class Full(MemoryStore):
        def put(self, key, body, *, if_absent=False):
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        KeptStore(Full(), files).put(KEY, b"body")
    assert names(tmp_path) == []


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 36, None])
def test_a_damaged_copy_is_fetched_again(kept, store, tmp_path, damage):
    kept.put(KEY, b"body")
    (path,) = [one for one in tmp_path.rglob("*") if one.is_file()]
    path.write_bytes(path.read_bytes()[:-1] + b"!" if damage is None else damage)
    assert kept.get(KEY) == b"body"
    assert store.counts.requests["get"] == 1
    assert kept.get(KEY) == b"body"
    assert store.counts.requests["get"] == 1


@pytest.mark.parametrize("layer", [lambda store: store, LayeredStore])
def test_a_node_that_is_damaged_in_the_store_is_good_again_once_that_is_repaired(store, files, layer):
    tree = tree_on(store, 10)
    whole = store.inner.get(tree.root.object)
    store.inner.put(tree.root.object, whole[: len(whole) // 2])
    for _ in range(2):
        with pytest.raises(Corrupt):
            read(layer(KeptStore(store, files)), tree)
    store.inner.put(tree.root.object, whole)
    assert len(read(layer(KeptStore(store, files)), tree)) == 10


def test_differences_of_damaged_leaves_are_good_again_once_these_are_repaired(store, files):
    old = tree_on(store, 30)
    new = old.apply([Put(Entry("d/00003", Content(hash_bytes(b"y"), 1, (), b"y")))])
    (changed,) = {ref.object for ref in new.nodes() if ref.level == 0} - {ref.object for ref in old.nodes()}
    whole = store.inner.get(changed)
    store.inner.put(changed, whole[:-20])

    def differences():
        nodes = KeptStore(store, files)
        older = Tree(nodes, old.root, NodeCache(), layout=SMALL)
        return [one.path for one in Tree(nodes, new.root, NodeCache(), layout=SMALL).diff(older, contents=False)]

    with pytest.raises(Corrupt):
        differences()
    store.inner.put(changed, whole)
    assert differences() == ["d/00003"]


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    directory = tmp_path / "nodes"
    files = NodeFiles(directory, 1000)
    for number in range(9):
        files.put(key(number), bytes(68))
        hour = time.time() - 3600 * (20 - number)
        os.utime(directory / key(number).removeprefix("nodes/"), (hour, hour))
    assert files.get(key(0)) == bytes(68)  # used now
    files.prune()
    assert len(names(directory)) == 9
    for number in range(9, 12):
        files.put(key(number), bytes(68))
    files.prune()
    left = [number for number in range(12) if files.get(key(number)) is not None]
    assert left == [0, 4, 5, 6, 7, 8, 9, 10, 11]  # the eleventh made it too much


def test_it_does_not_grow_beyond_its_limit_by_much(tmp_path):
    directory = tmp_path / "nodes"
    for process in range(100):
        files = NodeFiles(directory, 100_000)
        for number in range(10):
            files.put(key(process * 10 + number), os.urandom(968))
    assert sum((directory / one).stat().st_size for one in names(directory)) <= 130_000


def test_copies_that_can_be_read_only_are_read(kept, store, monkeypatch):
    kept.put(KEY, b"body")

    def refused(*_):
        raise OSError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(os, "utime", refused)
    assert kept.get(KEY) == b"body"
    assert store.counts.requests["get"] == 0


def test_what_somebody_else_put_there_is_left_alone(tmp_path):
    directory, other = tmp_path / "nodes", tmp_path / "other"
    other.mkdir()
    (other / "file").write_bytes(bytes(5000))
    directory.mkdir()
    (directory / "aa-stray").write_bytes(bytes(5000))
    (directory / "zz-link").symlink_to(other)
    files = NodeFiles(directory, 1000)
    for number in range(20):
        files.put(key(number), bytes(68))
    assert (other / "file").exists()
    assert (directory / "aa-stray").exists()
    assert files.get(key(19)) == bytes(68)
    assert files.get(key(0)) is None


def test_nothing_is_kept_where_others_could_change_it(tmp_path, store):
    shared = tmp_path / "nodes"
    shared.mkdir(mode=0o700)
    shared.chmod(0o777)
    assert with_copies(store, tmp_path, 1000) is store
    shared.chmod(0o755)
    assert isinstance(with_copies(store, tmp_path, 1000), KeptStore)
    assert with_copies(store, tmp_path, 0) is store
    made = tmp_path / "made"
    with_copies(store, made, 1000).put(KEY, b"body")
    assert (seems_kept(made, KEY), seems_kept(made, key(1)), seems_kept(None, KEY)) == (True, False, False)
    assert {oct(one.stat().st_mode & 0o777) for one in (made / "nodes").rglob("*") if one.is_file()} == {"0o600"}
    assert oct((made / "nodes").stat().st_mode & 0o777) == "0o700"


def test_without_room_everything_works_as_without_copies(tmp_path, store, monkeypatch):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert with_copies(store, in_the_way, 1000) is store

    def refused(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Path, "replace", refused)
    kept = with_copies(store, tmp_path, 1000)
    kept.put(KEY, b"body")
    assert (kept.get(KEY), kept.get(KEY)) == (b"body", b"body")
    assert store.counts.requests["get"] == 2
    assert names(tmp_path / "nodes") == []


def test_deleting_a_node_deletes_its_copy(kept, store, tmp_path):
    kept.put(KEY, b"body")
    kept.delete(one for one in [KEY, "packs/ab/1"])
    assert names(tmp_path) == []
    with pytest.raises(ObjectNotFound):
        kept.get(KEY)
    assert (kept.url, list(kept.list_keys())) == (store.inner.url, [])
    kept.put(KEY, b"body")
    assert kept.head(KEY).size_bytes == 4
    kept.close()
