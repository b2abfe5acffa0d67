"""Pending changes over a tree, and carrying changes over to another tree."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import PathConflict
from airflow_pachy.pfs.content import ContentWriter
from airflow_pachy.pfs.deltas import read_delta, write_delta
from airflow_pachy.pfs.layered import LayeredStore
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pfs.overlay import Overlay, rebase
from airflow_pachy.pfs.tree import Tree
from airflow_pachy.pfs.tree.entries import Content, Entry, Put, Remove, Segment


@pytest.fixture
def store():
    return open_store("memory://")


def put(store, path, text="x"):
    with ContentWriter(store) as writer:
        return Put(Entry(path, writer.write(text.encode())))


def made(store, **files):
    overlay = Overlay(Tree(store, None))
    for name, text in files.items():
        overlay.add(put(store, name.replace("_", "/"), text))
    return overlay.tree()


def listed(tree):
    return {entry.path: entry.content.inline.decode() for entry in tree.entries()}


def test_pending_changes_are_seen_at_once(store):
    overlay = Overlay(made(store, a="1", d_x="2"))
    overlay.add(put(store, "b"))
    overlay.add(Remove("d", subtree=True))
    assert overlay.entry("b") is not None
    assert overlay.entry("a") is not None
    assert overlay.entry("d/x") is None
    assert not overlay.is_directory("d")
    assert listed(overlay.tree()) == {"a": "1", "b": "x"}
    assert len(overlay) == 0


def test_a_put_after_a_removal_stays(store):
    overlay = Overlay(made(store, d_x="1", d_y="1"))
    overlay.add(Remove("d", subtree=True))
    overlay.add(put(store, "d", "file now"))
    overlay.add(Remove("d"))
    overlay.add(put(store, "d/z", "2"))
    assert listed(overlay.tree()) == {"d/z": "2"}


def test_a_removal_of_everything(store):
    overlay = Overlay(made(store, a="1", d_x="2"))
    overlay.add(put(store, "b"))
    overlay.add(Remove("", subtree=True))
    overlay.add(put(store, "c"))
    assert listed(overlay.tree()) == {"c": "x"}


@pytest.mark.parametrize("path", ["a/b", "a/b/c", "d", "d/x/y"])
def test_conflicts_with_the_tree(store, path):
    overlay = Overlay(made(store, a="1", d_x="2"))
    with pytest.raises(PathConflict):
        overlay.add(put(store, path))
    assert len(overlay) == 0


def test_conflicts_within_one_batch(store):
    overlay = Overlay(Tree(store, None))
    with pytest.raises(PathConflict):
        overlay.check([put(store, "a"), put(store, "a/b/c")])
    overlay.check([Remove("a", subtree=True), put(store, "a")])


def test_removing_a_directory_in_the_batch_makes_room(store):
    overlay = Overlay(made(store, d_x="2", f="1"))
    overlay.check([Remove("d", subtree=True), put(store, "d")])
    overlay.check([Remove("f"), put(store, "f/x")])
    overlay.check([Remove("", subtree=True), put(store, "d"), put(store, "f/x")])


def test_many_changes_are_folded(store, monkeypatch):
    monkeypatch.setattr("airflow_pachy.pfs.overlay.FOLD_AT", 10)
    overlay = Overlay(Tree(store, None))
    overlay.extend(put(store, f"{number:03}", str(number)) for number in range(95))
    assert len(overlay) == 5
    assert len(overlay.tree()) == 95


def test_rebasing_keeps_both_sides(store):
    base = made(store, a="1", b="1", c="1")
    mine, theirs = Overlay(base), Overlay(base)
    mine.add(put(store, "a", "mine"))
    mine.add(Remove("b"))
    theirs.add(put(store, "c", "theirs"))
    theirs.add(put(store, "d", "theirs"))
    tree, both = rebase(base, mine.tree(), theirs.tree())
    assert listed(tree) == {"a": "mine", "c": "theirs", "d": "theirs"}
    assert both == []


def test_rebasing_tells_what_both_changed(store):
    base = made(store, a="1", b="1")
    tree, both = rebase(base, made(store, a="mine", b="same"), made(store, a="theirs", b="same"))
    assert both == ["a"]
    assert listed(tree) == {"a": "mine", "b": "same"}


def test_deltas_are_read_as_written(store):
    digest = bytes(range(32))
    changes = [
        Remove("gone"),
        Put(Entry("ünï/code", Content(digest, 5, (), b"abcde"), executable=True, mtime_us=17)),
        Put(
            Entry("big", Content(digest, 9, (Segment("packs/aa/1", 0, 4, digest), Segment("packs/aa/2", 7, 5, digest))))
        ),
        Put(Entry("one", Content(digest, 4, (Segment("packs/aa/1", 0, 4),)))),
        Put(Entry("empty", Content(digest, 0, (), b""))),
        Remove("", subtree=True),
    ]
    assert read_delta(store, write_delta(store, "c" * 32, changes)) == changes


def test_a_layered_store_writes_to_memory_alone(store):
    store.put("below", b"0123456789")
    layered = LayeredStore(store)
    layered.put("above", b"abcdef")
    assert layered.get("above", offset=1, length=2) == b"bc"
    assert layered.get("below", offset=8) == b"89"
    assert [info.key for info in layered.list_keys()] == ["above", "below"]
    assert [info.key for info in store.list_keys()] == ["below"]
    assert layered.head("above").size_bytes == 6
    layered.delete(["above"])
    assert [info.key for info in layered.list_keys()] == ["below"]
