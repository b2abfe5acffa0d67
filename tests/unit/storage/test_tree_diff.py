"""A diff tells all of what changed, and of the rest reads no more than what says that it did not."""

import io
import threading
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from airflow_pachy.errors import Corrupt, ObjectNotFound
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.objects import CountingStore, MemoryStore
from airflow_pachy.pfs.tree import (
    Content,
    Entry,
    Layout,
    NodeCache,
    Put,
    Remove,
    Segment,
    Tree,
    codec,
    nodes,
    sorted_changes,
    stored,
)
from airflow_pachy.pfs.tree.codec import read_parquet

LAYOUT = Layout(leaf_target=64, inner_target=32)
FILES = 2_000
CHANGED = 10


def entry(path, version=1):
    digest = hash_bytes(f"{path}:{version}".encode())
    segment = Segment(f"packs/{path[-2:]}/x", version * 100, 100)
    return Entry(path, Content(digest, 100, (segment,)), version == 3, f"{version:032d}", version)


def path_of(number):
    return f"d{number // 100:02d}/{number:05d}"


FIRST = {path_of(number): entry(path_of(number)) for number in range(FILES)}


@pytest.fixture
def small_groups(monkeypatch):
    """Leaves of several row groups."""
    monkeypatch.setattr(codec, "GROUP_TARGET", 8)


@pytest.fixture(params=[8, 4_096])
def any_groups(request, monkeypatch):
    """Leaves of several row groups, or of one as those of small trees."""
    monkeypatch.setattr(codec, "GROUP_TARGET", request.param)


@pytest.fixture
def store():
    return CountingStore(MemoryStore())


@pytest.fixture
def tree(store):
    return Tree(store, None, NodeCache(), layout=LAYOUT).apply(map(Put, FIRST.values()))


@pytest.fixture
def decoded(monkeypatch):
    """How many rows of which columns of leaves Arrow was asked for, and how many whole leaves."""
    found = Counter()
    opened, decode = stored.open_parquet, nodes.decode

    class Reader:
        def __init__(self, reader):
            self._reader = reader

        def __getattr__(self, name):
            return getattr(self._reader, name)

        def count(self, indices, rows):
            for path in {self.column_paths[index][0] for index in indices}:
                found[path] += min(rows, self.metadata.num_rows)

        def read_row_groups(self, groups, *, column_indices, use_threads):
            found["row groups"] += len(groups)
            self.count(column_indices, sum(self.metadata.row_group(group).num_rows for group in groups))
            return self._reader.read_row_groups(groups, column_indices=column_indices, use_threads=use_threads)

        def iter_batches(self, rows, groups, *, column_indices, use_threads):
            self.count(column_indices, rows)
            return self._reader.iter_batches(rows, groups, column_indices=column_indices, use_threads=use_threads)

    def count_whole(body, level, key):
        found["whole leaves"] += level == 0
        return decode(body, level, key)

    monkeypatch.setattr(stored, "open_parquet", lambda body, **options: Reader(opened(body, **options)))
    monkeypatch.setattr(nodes, "decode", count_whole)
    return found


def fresh(tree, cache=None):
    return Tree(tree.node_store.store, tree.root, cache or NodeCache(), layout=LAYOUT)


def leaves(tree):
    return [ref for ref in tree.nodes() if ref.level == 0]


def borders(tree):
    """The first and last path of each leaf."""
    return [(table["path"][0].as_py(), table["path"][-1].as_py()) for table in fresh(tree).tables()]


def between(tree, older):
    """The rows that a diff with nothing in the cache gives."""
    cache = NodeCache()
    return [(one.path, one.new, one.old) for one in fresh(tree, cache).diff(fresh(older, cache))]


def expected(new, old):
    return [
        (path, new.get(path), old.get(path))
        for path in sorted(new.keys() | old.keys())
        if new.get(path) != old.get(path)
    ]


def scattered(tree):
    changed = {path_of(number): entry(path_of(number), 2) for number in range(0, FILES, FILES // CHANGED)}
    return tree.apply(map(Put, changed.values())), FIRST | changed


def test_changes_far_apart_cost_the_leaves_that_they_are_in(tree, store, decoded):
    newer, files = scattered(tree)
    differing = {ref.id: ref.rows for ref in leaves(newer)} | {ref.id: ref.rows for ref in leaves(tree)}
    for ref in {one.id for one in leaves(newer)} & {one.id for one in leaves(tree)}:
        del differing[ref]
    assert len(differing) == 2 * CHANGED
    assert len(leaves(tree)) > 2 * CHANGED
    store.counts.requests.clear()
    decoded.clear()
    assert between(newer, tree) == expected(files, FIRST)
    inner = {ref.id for one in (tree, newer) for ref in one.nodes() if ref.level}
    assert store.counts.requests == {"get": 2 * CHANGED + len(inner)}
    rows = sum(differing.values())
    assert decoded.pop("whole leaves", 0) == 0
    assert decoded["hash"] == rows
    # Of two neighbours once: no file came or went, or got larger.
    assert {decoded[name] for name in ("path", "size", "executable")} == {rows // 2}
    assert {decoded[name] for name in ("segments", "inline", "datum", "mtime_us")} == {decoded["segments"]}
    assert 2 * CHANGED <= decoded["segments"] < rows


@pytest.mark.usefixtures("any_groups")
def test_what_was_put_elsewhere_is_no_difference(tree, store, decoded):
    elsewhere = (Segment("packs/zz/y", 0, 100),)
    moved = {path: Entry(path, Content(one.content.hash, 100, elsewhere)) for path, one in FIRST.items()}
    other = Tree(store, None, NodeCache(), layout=LAYOUT).apply(map(Put, moved.values()))
    assert other.root.ulid != tree.root.ulid
    decoded.clear()
    store.counts.requests.clear()
    assert between(other, tree) == []
    assert not decoded
    assert not store.counts.requests
    path = path_of(FILES // 2)
    one_more = other.apply([Put(entry(path, 2))])
    assert between(one_more, tree) == [(path, entry(path, 2), FIRST[path])]
    assert between(tree, one_more) == [(path, FIRST[path], entry(path, 2))]


@pytest.mark.usefixtures("any_groups")
@pytest.mark.parametrize("side", ["new", "old"])
def test_adds_and_removals_at_the_borders_of_leaves(tree, side):
    ends = borders(tree)
    for place in range(0, len(ends) - 1, 3):
        last, first = ends[place][1], ends[place + 1][0]
        for changes in (
            [Remove(last)],
            [Remove(first)],
            [Remove(last), Remove(first)],
            [Put(entry(f"{last}-", 2))],
            [Put(entry(f"{first[:-1]}!", 2))],
            [Remove(last), Put(entry(f"{last}-", 2)), Put(entry(first, 3))],
            [Put(entry(last, 2)), Put(entry(first, 3))],
        ):
            files = dict(FIRST)
            for change in changes:
                if isinstance(change, Put):
                    files[change.entry.path] = change.entry
                else:
                    del files[change.path]
            changed = tree.apply(sorted_changes(changes))
            if side == "new":
                assert between(changed, tree) == expected(files, FIRST)
            else:
                assert between(tree, changed) == expected(FIRST, files)


@pytest.mark.usefixtures("any_groups")
def test_trees_that_share_nothing(tree, store):
    others = {
        f"d{number // 70:02d}/{number:05d}": entry(f"d{number // 70:02d}/{number:05d}", 2)
        for number in range(0, FILES, 2)
    }
    other = Tree(store, None, NodeCache(), layout=LAYOUT).apply(map(Put, (others[path] for path in sorted(others))))
    nothing = Tree(store, None, NodeCache(), layout=LAYOUT)
    assert between(other, tree) == expected(others, FIRST)
    assert between(other, nothing) == expected(others, {})
    assert between(nothing, tree) == expected({}, FIRST)


@pytest.mark.usefixtures("any_groups")
def test_no_more_leaves_than_a_few_are_ahead_of_who_goes_through_all(tree, store):
    newer = tree.apply(Put(entry(path, 2)) for path in FIRST)
    new, old = fresh(newer), fresh(tree)
    inner = sum(ref.level > 0 for one in (newer, tree) for ref in one.nodes())
    store.counts.requests.clear()
    count = 0
    for count, (came, went) in enumerate(new.diff_tables(old), start=1):
        assert came["path"].equals(went["path"])
        assert store.counts.requests["get"] <= inner + 2 * count + 2 * 8
    assert count == len(leaves(tree))
    assert store.counts.requests["get"] == inner + 2 * count


def test_where_most_rows_differ_leaves_are_decoded_once_and_whole(tree, decoded):
    newer = tree.apply(Put(entry(path, 2)) for path in FIRST)
    count = 2 * len(leaves(tree))
    decoded.clear()
    assert sum(came.num_rows for came, _ in fresh(newer).diff_tables(fresh(tree))) == FILES
    assert decoded["whole leaves"] > count // 2
    assert decoded["segments"] < FILES
    decoded.clear()
    assert sum(went.num_rows for _, went in fresh(Tree(tree.node_store.store, None)).diff_tables(fresh(tree))) == FILES
    assert decoded == {"whole leaves": count // 2}


@pytest.mark.usefixtures("any_groups")
def test_who_wants_one_difference_waits_for_few_leaves_and_leaves_no_thread(tree, store):
    newer = tree.apply(Put(entry(path, 2)) for path in FIRST)
    new, old = fresh(newer), fresh(tree)
    inner = sum(ref.level > 0 for one in (newer, tree) for ref in one.nodes())
    store.counts.requests.clear()
    found = new.diff(old)
    assert next(found).path == path_of(0)
    found.close()
    assert store.counts.requests["get"] <= inner + 2 * 4
    assert not [one.name for one in threading.enumerate() if one.name.startswith("tree-")]


def test_what_was_compared_is_not_fetched_again_and_decoded_once_more(tree, store, decoded):
    newer, files = scattered(tree)
    cache = NodeCache()
    new, old = fresh(newer, cache), fresh(tree, cache)
    first = list(new.diff(old))
    store.counts.requests.clear()
    decoded.clear()
    assert list(new.diff(old)) == first
    assert decoded == {"whole leaves": 2 * CHANGED}
    for number in range(0, FILES, FILES // CHANGED):
        assert new.get(path_of(number + 1)) == files[path_of(number + 1)]
        assert old.get(path_of(number)) == FIRST[path_of(number)]
        assert [one.path for one in new.diff(old, path_of(number))] == [path_of(number)]
    assert decoded == {"whole leaves": 2 * CHANGED}
    assert not store.counts.requests


def test_without_contents_nothing_is_decoded_of_where_they_lie(tree, store, decoded):
    newer, files = scattered(tree)
    told = [(path, without(new), without(old)) for path, new, old in expected(files, FIRST)]
    decoded.clear()
    cache = NodeCache()
    new, old = fresh(newer, cache), fresh(tree, cache)
    assert [(one.path, one.new, one.old) for one in new.diff(old, contents=False)] == told
    assert decoded["datum"]
    assert not (+decoded).keys() & {"segments", "inline", "whole leaves"}
    assert [(one.path, one.new, one.old) for one in new.diff(old, contents=False)] == told
    nothing = Tree(store, None, NodeCache(), layout=LAYOUT)
    assert [one.new for one in fresh(tree).diff(nothing, contents=False)] == [without(one) for one in FIRST.values()]


def without(one):
    return replace(one, content=Content(one.content.hash, one.content.size_bytes))


@pytest.mark.usefixtures("any_groups")
def test_leaves_that_others_wrote_differently_are_compared_too(tree, store, decoded):
    newer, files = scattered(tree)
    for ref in set(leaves(newer)) - set(leaves(tree)):
        sink = io.BytesIO()
        columns = ["size", "executable", "mtime_us", "path", "inline", "segments", "datum", "hash"]
        pq.write_table(read_parquet(store.get(ref.object)).select(columns), sink, compression="snappy")
        store.put(ref.object, sink.getvalue())
    decoded.clear()
    assert between(newer, tree) == expected(files, FIRST)
    assert decoded["path"] == decoded["hash"]


@pytest.mark.usefixtures("any_groups")
@pytest.mark.parametrize("damage", ["truncated", "other rows", "gone"])
@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_leaf_is_told(tree, store, damage, which):
    newer, _ = scattered(tree)
    changed = [ref for ref in leaves(newer) if ref not in leaves(tree)]
    key = changed[which].object
    body = store.get(key)
    if damage == "gone":
        store.delete([key])
    else:
        store.put(key, body[:-9] if damage == "truncated" else store.get(changed[1].object))
    with pytest.raises(ObjectNotFound if damage == "gone" else Corrupt, match=key):
        between(newer, tree)


@pytest.mark.usefixtures("any_groups")
def test_contents_that_cannot_be_read_are_told(tree, store):
    newer, _ = scattered(tree)
    ref = next(ref for ref in leaves(newer) if ref not in leaves(tree))
    table = read_parquet(store.get(ref.object))
    sink = io.BytesIO()
    pq.write_table(table.drop_columns(["segments"]), sink)
    store.put(ref.object, sink.getvalue())
    with pytest.raises(Corrupt, match=ref.object):
        between(newer, tree)


def groups_of(tree):
    """Row groups of each of the leaves, by object."""
    found = {}
    for ref in leaves(tree):
        found[ref.object] = pq.ParquetFile(io.BytesIO(tree.node_store.store.get(ref.object))).num_row_groups
    return found


def several(tree, kind):
    """Changes at ten places, and the files after them."""
    files = dict(FIRST)
    for number in range(5, FILES, FILES // CHANGED):
        path = path_of(number)
        if kind == "changed":
            files[path] = entry(path, 2)
        elif kind == "come":
            files[f"{path}+"] = entry(f"{path}+", 2)
        else:
            del files[path]
    changes = [Remove(path) for path in FIRST if path not in files]
    changes += [Put(one) for path, one in files.items() if FIRST.get(path) != one]
    return tree.apply(sorted_changes(changes)), files


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("kind", ["changed", "come", "gone"])
def test_row_groups_that_both_leaves_have_are_not_decoded(tree, decoded, kind):
    newer, files = several(tree, kind)
    before, after = groups_of(tree), groups_of(newer)
    differing = {key: count for key, count in (before | after).items() if key not in before.keys() & after.keys()}
    decoded.clear()
    assert between(newer, tree) == expected(files, FIRST)
    assert decoded["whole leaves"] == 0
    assert sum(differing.values()) > 12 * CHANGED
    assert 2 * CHANGED <= decoded["row groups"] <= 5 * CHANGED
    decoded.clear()
    assert between(tree, newer) == expected(FIRST, files)
    assert decoded["row groups"] <= 5 * CHANGED
    for prefix in ("d04/", "d10/0100"):
        below = [one for one in expected(files, FIRST) if one[0].startswith(prefix)]
        assert [(one.path, one.new, one.old) for one in fresh(newer).diff(fresh(tree), prefix)] == below != []


@pytest.mark.parametrize("kind", ["changed", "come", "gone"])
@pytest.mark.parametrize("sizes", [(8, 4_096), (4_096, 8), (8, 16)])
def test_leaves_of_other_row_groups_are_compared_too(store, monkeypatch, kind, sizes):
    monkeypatch.setattr(codec, "GROUP_TARGET", sizes[0])
    tree = Tree(store, None, NodeCache(), layout=LAYOUT).apply(map(Put, FIRST.values()))
    monkeypatch.setattr(codec, "GROUP_TARGET", sizes[1])
    newer, files = several(tree, kind)
    assert between(newer, tree) == expected(files, FIRST)
    assert between(tree, newer) == expected(FIRST, files)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("side", ["new", "old"])
def test_damaged_pages_are_told_or_make_no_difference(tree, store, side):
    newer, files = scattered(tree)
    mine, theirs = (newer, tree) if side == "new" else (tree, newer)
    ref = next(ref for ref in leaves(mine) if ref not in leaves(theirs))
    body = store.get(ref.object)
    footer = int.from_bytes(body[-8:-4], "little")
    found = Counter()
    for place in range(4, len(body) - footer - 8, 53):
        damaged = bytearray(body)
        damaged[place] ^= 1 << place % 8
        store.put(ref.object, bytes(damaged))
        try:
            assert between(newer, tree) == expected(files, FIRST)
        except Corrupt as error:
            found["told" if ref.object in str(error) else str(error)] += 1
        else:
            found["not looked at"] += 1  # where contents lie, of files that did not change
    assert found.keys() == {"told", "not looked at"}
    assert found["told"] > found["not looked at"]


@pytest.mark.usefixtures("small_groups")
def test_a_leaf_that_says_to_be_another_one_is_told(tree, store):
    newer, _ = scattered(tree)
    one, other = (next(ref for ref in leaves(a) if ref not in leaves(b)) for a, b in ((newer, tree), (tree, newer)))
    store.put(one.object, codec.encode(nodes.decode(store.get(other.object), 0, other.object), one))
    with pytest.raises(Corrupt, match=f"{one.object} and {other.object} hold the same rows"):
        between(newer, tree)
