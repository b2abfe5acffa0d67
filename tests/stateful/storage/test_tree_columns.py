"""What a tree does with columns of rows is what it does with single entries."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pachy.errors import InvalidArgument, PathConflict
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Directory, Layout, NodeCache, Put, Remove, Tree, codec, sorted_changes
from airflow_pachy.pfs.tree.entries import Content, Entry
from airflow_pachy.pfs.tree.rows import entries_of, leaf_table

FEW = settings(max_examples=60)
SMALL = Layout(leaf_target=8, inner_target=4)


@pytest.fixture(autouse=True, scope="module")
def _row_groups_of_a_few_rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "GROUP_TARGET", 4)
        yield


keys = st.builds(
    lambda folder, number: f"{folder}{number}", st.sampled_from(["", "!", "a/", "a/b/", "é"]), st.integers(0, 60)
)
versions = st.dictionaries(keys, st.integers(0, 2), max_size=60)


def entry(key, version):
    body = bytes([version])
    return Entry(key, Content(bytes([version]) * 32, 1, (), body), executable=version == 2)


def put(files):
    return [entry(key, files[key]) for key in sorted(files)]


def tree_of(files, store=None):
    return Tree(store or MemoryStore(), None, NodeCache(), layout=SMALL).apply(map(Put, put(files)))


def unread(tree):
    """The same, of which nothing is in memory."""
    return Tree(tree.node_store.store, tree.root, NodeCache(), layout=SMALL)


def column(wanted):
    return pa.array(sorted(wanted), pa.string())


@FEW
@given(versions, versions, st.sets(keys, max_size=60))
def test_merging_columns_is_applying_changes(files, added, removed):
    tree = tree_of(files)
    merged = tree.merge(column(removed), leaf_table(put(added)))
    changes = [*map(Remove, sorted(removed)), *map(Put, put(added))]
    applied = tree.apply(sorted_changes(changes))
    assert list(merged.entries()) == list(applied.entries())
    assert (merged.root and merged.root.id) == (applied.root and applied.root.id)


@FEW
@given(versions, versions)
def test_merging_many_rows_is_applying_them(files, added):
    # More than the few that are looked for one by one.
    more = {f"z{number:04d}": number % 3 for number in range(200)}
    tree = tree_of(files | more)
    gone = [key for number, key in enumerate(sorted(more)) if number % 2]
    merged = tree.merge(column(gone), leaf_table(put(added)))
    rest = {key: version for key, version in (files | more | added).items() if key not in gone or key in added}
    assert list(merged.entries()) == put(rest)
    assert (merged.root and merged.root.id) == (tree_of(rest).root and tree_of(rest).root.id)


@FEW
@given(st.integers(1, 90), st.dictionaries(st.integers(0, 99), st.integers(0, 2), max_size=90), st.integers(0, 2))
def test_replacing_rows_of_leaves_is_applying_them(count, edits, beyond):
    files = {f"{number:03d}": 0 for number in range(count)}
    added = {f"{number:03d}": version for number, version in edits.items() if number < count}
    added |= {f"{count + number:03d}": 1 for number in range(beyond)}
    tree = tree_of(files)
    merged = unread(tree).merge(column([]), leaf_table(put(added)))
    assert list(merged.entries()) == put(files | added)
    assert merged.root.id == tree_of(files | added).root.id
    if not any(added.values()) and not beyond:
        assert merged.root == tree.root  # nothing was written


@FEW
@given(versions, st.sets(keys, max_size=60))
def test_found_rows_are_those_that_are_there(files, wanted):
    found = tree_of(files).find(column(wanted))
    assert list(entries_of(found)) == [entry(key, files[key]) for key in sorted(wanted & files.keys())]


@FEW
@given(versions, versions)
def test_a_difference_in_columns_is_the_difference(new, old):
    store = MemoryStore()
    newer, older = tree_of(new, store), tree_of(old, store)
    for one, other in ((newer, older), (unread(newer), unread(older))):
        came, went = [], []
        for more, less in one.diff_tables(other):
            came += entries_of(more)
            went += entries_of(less)
        differences = list(one.diff(other))
        assert came == [found.new for found in differences if found.new]
        assert went == [found.old for found in differences if found.old]
        changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
        assert {found.path for found in differences} == changed


@FEW
@given(st.integers(40, 120), st.dictionaries(st.integers(0, 25), st.integers(0, 4), max_size=6), st.booleans())
def test_what_comes_and_goes_where_leaves_end_is_the_difference(count, edits, comes):
    store = MemoryStore()
    files = {f"{number:03d}": 0 for number in range(count)}
    tree = tree_of(files, store)
    ends = [table["path"][-1].as_py() for table in tree.tables()]
    changed = dict(files)
    for leaf, edit in edits.items():
        last = ends[leaf % len(ends)]
        after = f"{int(last) + 1:03d}"
        if edit < 2:
            changed.pop((last, after)[edit], None)
        elif edit == 2:
            changed[f"{last}+"] = 1
        else:
            changed[(last, after)[edit - 3]] = 2
    new, old = (changed, files) if comes else (files, changed)
    other = tree_of(changed, store)
    newer, older = (other, tree) if comes else (tree, other)
    assert [(one.path, one.new, one.old) for one in unread(newer).diff(unread(older))] == [
        (key, entry(key, new[key]) if key in new else None, entry(key, old[key]) if key in old else None)
        for key in sorted(new.keys() | old.keys())
        if new.get(key) != old.get(key)
    ]


@FEW
@given(versions, st.sampled_from(["/*", "/**", "/a/*", "/a/1", "/", "/!(a)"]))
def test_matches_in_columns_are_the_matches(files, pattern):
    tree = tree_of(files)
    found = []
    for piece in tree.glob_tables(pattern):
        found += [piece.path] if isinstance(piece, Directory) else piece["path"].to_pylist()
    assert found == [one.path for one in tree.glob(pattern)]
    chosen = [piece for piece in tree.glob_tables(pattern, ("path", "size")) if not isinstance(piece, Directory)]
    whole = [piece for piece in tree.glob_tables(pattern) if not isinstance(piece, Directory)]
    assert [piece.to_pydict() for piece in chosen] == [piece.select(["path", "size"]).to_pydict() for piece in whole]


def test_all_rows_come_leaf_by_leaf():
    tree = tree_of({f"{number:03d}": 0 for number in range(100)})
    assert [path for table in tree.tables(after="041") for path in table["path"].to_pylist()] == [
        f"{number:03d}" for number in range(42, 100)
    ]


def test_rows_out_of_order_are_refused():
    tree = tree_of({"a": 0})
    with pytest.raises(InvalidArgument, match="order of their keys"):
        tree.merge(pa.array(["b", "a"]), leaf_table([]))
    with pytest.raises(InvalidArgument, match="each key once"):
        tree.merge(column([]), leaf_table([entry("b", 0), entry("b", 1)]))


def test_a_file_is_no_directory_unless_keys_are_no_paths():
    tree = tree_of({"a/1": 0})
    with pytest.raises(PathConflict):
        tree.merge(column([]), leaf_table([entry("a", 0)]))
    assert len(tree.merge(column([]), leaf_table([entry("a", 0)]), keys_are_paths=False)) == 2
