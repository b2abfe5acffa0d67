"""An outline answers what a tree answers about which files there are, and never loses what it does not show."""

import pyarrow as pa
import pytest

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.objects import CountingStore, MemoryStore
from airflow_pachy.pfs.tree import Content, Entry, File, Layout, NodeCache, Put, Tree
from airflow_pachy.pfs.tree.outline import Outline, keys_in
from airflow_pachy.pfs.tree.preloading import preload

SMALL = Layout(leaf_target=16, inner_target=8)


def put(number, body=b"x"):
    return Put(Entry(f"d{number % 7}/{number:05d}", Content(hash_bytes(body), len(body), inline=body), datum="a" * 32))


def tree_on(store, *, changed=()):
    entries = {number: put(number) for number in range(500)} | {number: put(number, b"new") for number in changed}
    ordered = sorted(entries.values(), key=lambda one: one.entry.path)
    return Tree(store, None, NodeCache(), layout=SMALL).apply(ordered)


def fresh(tree, store):
    return Tree(store, tree.root, NodeCache(), layout=SMALL)


def test_it_has_the_same_files_with_the_same_identity():
    store = MemoryStore()
    tree, old = tree_on(store, changed=[3, 300]), tree_on(store)
    outline = Outline(fresh(tree, store))
    identity = [(one.path, one.content.hash, one.content.size_bytes, one.executable) for one in tree.entries()]
    assert [
        (one.path, one.content.hash, one.content.size_bytes, one.executable) for one in outline.entries()
    ] == identity
    assert (outline.hash_of("d3"), outline.stat("d3"), len(outline)) == (tree.hash_of("d3"), tree.stat("d3"), 500)
    assert [one.path for one in outline.glob("/d[12]/*")] == [one.path for one in tree.glob("/d[12]/*")]
    assert [one.path for one in outline.diff(Outline(fresh(old, store)))] == ["d3/00003", "d6/00300"]


def test_what_is_made_of_it_is_whole():
    store = MemoryStore()
    outline = Outline(fresh(tree_on(store), store))
    assert outline.get("d0/00007").content.inline is None
    changed = outline.apply([put(7, b"other")])
    assert type(changed) is Tree
    assert changed.get("d0/00007") == put(7, b"other").entry
    assert changed.get("d0/00014") == put(14).entry


def test_keys_are_found_without_keeping_leaves():
    store = CountingStore(MemoryStore())
    tree = fresh(tree_on(store), store)
    asked = sorted([*(put(number).entry.path for number in range(0, 500, 50)), "a", "d2/nothing", "z"])
    assert keys_in(tree, pa.array(asked, pa.string())).to_pylist() == [one for one in asked if one.endswith("0")]
    assert keys_in(tree, pa.array([], pa.string())).to_pylist() == []
    assert keys_in(Tree(store, None), pa.array(["a"], pa.string())).to_pylist() == []


def test_leaves_that_were_read_ahead_are_not_read_again():
    store = CountingStore(MemoryStore())
    tree = fresh(tree_on(store), store)
    paths = [put(number).entry.path for number in (3, 200, 450)]
    preload(tree, [*paths, "z"])
    store.counts.requests.clear()
    assert [type(tree.stat(path)) for path in paths] == [File] * 3
    assert store.counts.requests["get"] == 0
    preload(Tree(store, None), paths)


@pytest.mark.parametrize("damage", ["truncated", "other rows"])
def test_a_damaged_leaf_is_told(damage):
    store = MemoryStore()
    tree = tree_on(store)
    leaves = [ref.object for ref in tree.nodes() if ref.level == 0]
    body = store.get(leaves[0])
    store.put(leaves[0], body[:-9] if damage == "truncated" else store.get(leaves[1]))
    with pytest.raises(Corrupt, match=leaves[0]):
        list(Outline(fresh(tree, store)).entries())
    with pytest.raises(Corrupt, match=leaves[0]):
        keys_in(fresh(tree, store), pa.array(["d0/00000"], pa.string()))
