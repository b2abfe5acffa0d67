"""Trees on a store that fails: no half commit, no wrong answer."""

import pytest

from airflow_pachy.errors import Corrupt, InvalidArgument, ObjectNotFound, StoreUnavailable
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.objects import CountingStore, MemoryStore
from airflow_pachy.pfs.tree import Content, Entry, Layout, NodeCache, NodeRef, Put, Remove, Tree
from airflow_pachy.testing.faulty_store import Died, Fault, FaultyStore

SMALL = Layout(leaf_target=16, inner_target=8)


def put(path, body=b"x"):
    return Put(Entry(path, Content(hash_bytes(body), len(body), (), body)))


def numbered(count):
    return [put(f"d/{number:05d}") for number in range(count)]


def tree_on(store, count=2000):
    return Tree(store, None, NodeCache(), layout=SMALL).apply(numbered(count))


def test_a_commit_touches_a_few_nodes_only():
    store = CountingStore(MemoryStore())
    tree = tree_on(store)
    store.counts.requests.clear()
    fresh = Tree(store, tree.root, NodeCache(), layout=SMALL)
    changed = fresh.apply([put("d/01000", b"new")])
    levels = tree.root.level + 1
    assert store.counts.requests["put"] <= levels
    assert store.counts.requests["get"] <= levels + 1
    store.counts.requests.clear()
    fresh = Tree(store, changed.root, NodeCache(), layout=SMALL)
    assert [one.path for one in fresh.diff(tree)] == ["d/01000"]
    assert store.counts.requests["get"] <= 2 * levels


def test_removing_a_directory_does_not_read_its_leaves():
    store = CountingStore(MemoryStore())
    tree = Tree(store, None, NodeCache(), layout=SMALL).apply([*numbered(2000), put("e"), put("z")])
    store.counts.requests.clear()
    left = Tree(store, tree.root, NodeCache(), layout=SMALL).apply([Remove("d", subtree=True)])
    assert [entry.path for entry in left.entries()] == ["e", "z"]
    assert store.counts.requests["get"] < 20


def test_changing_nothing_gives_the_same_root_and_writes_nothing():
    store = CountingStore(MemoryStore())
    tree = tree_on(store)
    puts = store.counts.requests["put"]
    assert tree.apply([]).root == tree.root
    assert tree.apply([Remove("missing"), Remove("neither", subtree=True)]).root == tree.root
    assert tree.apply([put("d/00007")]).root == tree.root
    assert store.counts.requests["put"] == puts


@pytest.mark.parametrize("kind", ["truncated", "damaged"])
def test_a_damaged_node_is_noticed(kind):
    store = MemoryStore()
    tree = tree_on(store)
    faulty = FaultyStore(store, Fault("get", kind))
    with pytest.raises(Corrupt, match="nodes/"):
        list(Tree(faulty, tree.root, NodeCache(), layout=SMALL).entries())


@pytest.mark.parametrize(("kind", "error"), [("lost answer", StoreUnavailable), ("dead", Died)])
@pytest.mark.parametrize("on", [1, 2, 3])
def test_a_commit_that_fails_leaves_the_old_tree_as_it_was(kind, error, on):
    store = MemoryStore()
    tree = tree_on(store)
    faulty = FaultyStore(store, Fault("put", kind, on=on))
    with pytest.raises(error):
        Tree(faulty, tree.root, NodeCache(), layout=SMALL).apply([put(f"e/{number}") for number in range(100, 400)])
    again = Tree(store, tree.root, NodeCache(), layout=SMALL)
    assert len(list(again.entries())) == 2000
    assert len(again.apply([put("e/1")])) == 2001


def test_changes_out_of_order_are_refused():
    with pytest.raises(InvalidArgument, match="sorted_changes"):
        Tree(MemoryStore(), None).apply([put("b"), put("a")])


def test_a_reference_survives_its_text():
    root = tree_on(MemoryStore()).root
    assert NodeRef.parse(str(root)) == root
    for text in ("", "nonsense", str(root)[:-1]):
        with pytest.raises(InvalidArgument, match="does not name a tree"):
            NodeRef.parse(text)


def test_the_hash_of_a_directory_is_that_of_what_is_below():
    tree = Tree(MemoryStore(), None).apply([put("a/x"), put("a/y/z"), put("b/x"), put("b/y/z"), put("c/x", b"other")])
    assert tree.hash_of("a") == tree.hash_of("b") != tree.hash_of("c")
    assert tree.hash_of("c/x") == hash_bytes(b"other")
    assert tree.apply([put("a/y/z", b"new")]).hash_of("a") != tree.hash_of("a")


def test_leaves_are_read_ahead_only_once_more_than_one_is_wanted():
    store = CountingStore(MemoryStore())
    tree = tree_on(store)
    store.counts.requests.clear()
    entries = Tree(store, tree.root, NodeCache(), layout=SMALL).entries()
    next(entries)
    entries.close()
    assert store.counts.requests["get"] == tree.root.level + 1


def test_a_damaged_leaf_is_told_when_its_turn_comes():
    store = MemoryStore()
    tree = tree_on(store)
    leaves = [ref for ref in tree.nodes() if ref.level == 0]
    store.delete([leaves[3].object])
    entries = Tree(store, tree.root, NodeCache(), layout=SMALL).entries()
    read = [next(entries).path for _ in range(sum(leaf.rows for leaf in leaves[:3]))]
    assert read == [f"d/{number:05d}" for number in range(len(read))]
    with pytest.raises(ObjectNotFound):
        next(entries)


def test_a_difference_in_many_leaves_opens_only_these():
    store = CountingStore(MemoryStore())
    tree = tree_on(store)
    changed = tree.apply([put(f"d/{number:05d}", b"new") for number in range(0, 2000, 200)])
    store.counts.requests.clear()
    fresh = Tree(store, changed.root, NodeCache(), layout=SMALL)
    assert len(list(fresh.diff(tree))) == 10
    assert store.counts.requests["get"] <= 2 * 10 * (changed.root.level + 1)
