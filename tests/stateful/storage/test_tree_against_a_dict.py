"""Whatever is done to a tree, it holds what a dict would, and does not remember how it came to be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pachy.errors import PathConflict
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import (
    Content,
    Directory,
    Entry,
    Layout,
    NodeCache,
    Put,
    Remove,
    Segment,
    Tree,
    sorted_changes,
)

SMALL = Layout(leaf_target=8, inner_target=4)
FEW = settings(max_examples=60)

directories = st.sampled_from(["", "a", "a-b", "a.d", "b", "b/c", "b/c/d", "é", "\U0010ffff"])
names = st.builds(lambda letter, number: f"{letter}{number}.x", st.sampled_from("xyz-!~é"), st.integers(0, 40))
paths = st.builds(lambda directory, name: f"{directory}/{name}" if directory else name, directories, names)


def entry(path, version=0):
    size = len(path) + version
    body = f"{path}{version}".encode()
    if version == 2:
        return Entry(path, Content(hash_bytes(body), len(body), (), body), executable=True, mtime_us=7)
    return Entry(path, Content(hash_bytes(body), size, (Segment("packs/aa/x", 0, size),)), datum="d" * version or None)


puts = st.builds(lambda path, version: Put(entry(path, version)), paths, st.integers(0, 2))
removals = st.builds(Remove, st.one_of(paths, directories), st.booleans())
batches = st.lists(st.lists(st.one_of(puts, puts, puts, removals), max_size=50), max_size=6)


def change_dict(files, changes):
    for change in changes:
        if isinstance(change, Put):
            files[change.entry.path] = change.entry
            continue
        below = [path for path in files if change.path == "" or path.startswith(f"{change.path}/")]
        for path in [change.path, *(below if change.subtree else [])]:
            files.pop(path, None)


def tree_of(entries, store=None):
    ordered = sorted(entries, key=lambda one: one.path)
    return Tree(store or MemoryStore(), None, NodeCache(), layout=SMALL).apply(map(Put, ordered))


def identity(tree):
    return tree.root and tree.root.id


def sort_key(files):
    return lambda path: path if path in files else f"{path}/"


@FEW
@given(batches)
def test_a_tree_is_a_dict_without_a_history(history):
    tree, files = Tree(MemoryStore(), None, NodeCache(), layout=SMALL), {}
    for changes in history:
        before, old = tree, dict(files)
        change_dict(files, changes)
        tree = tree.apply(sorted_changes(changes))

        expected = [files[path] for path in sorted(files)]
        assert list(tree.entries()) == expected
        assert list(tree.entries(reverse=True)) == expected[::-1]
        assert len(tree) == len(files)
        assert tree.size_bytes == sum(one.content.size_bytes for one in expected)
        assert identity(tree) == identity(tree_of(expected))

        same = {path for path in files if path in old and identity_of(files[path]) == identity_of(old[path])}
        differing = sorted((files.keys() | old.keys()) - same)
        assert [(one.path, one.new, one.old) for one in tree.diff(before)] == [
            (path, files.get(path), old.get(path)) for path in differing
        ]


def identity_of(one):
    return one.content.hash, one.content.size_bytes, one.executable


@FEW
@given(st.lists(puts, max_size=120), st.randoms())
def test_the_order_of_commits_does_not_show(changes, random):
    by_path = {change.entry.path: change for change in changes}
    one = tree_of([change.entry for change in by_path.values()])
    shuffled = list(by_path.values())
    random.shuffle(shuffled)
    other = Tree(MemoryStore(), None, NodeCache(), layout=SMALL)
    for start in range(0, len(shuffled), 17):
        other = other.apply(sorted_changes(shuffled[start : start + 17]))
    assert identity(one) == identity(other)


@FEW
@given(st.lists(puts, max_size=80), st.lists(paths, max_size=20))
def test_a_revert_gives_the_same_root(changes, extra):
    tree = Tree(MemoryStore(), None, NodeCache(), layout=SMALL).apply(sorted_changes(changes))
    new = [path for path in extra if tree.get(path) is None]
    there = tree.apply(sorted_changes(Put(entry(path)) for path in new))
    back = there.apply(sorted_changes(Remove(path) for path in new))
    assert identity(back) == identity(tree)


@FEW
@given(st.lists(puts, max_size=120))
def test_lists_and_globs_see_files_and_the_directories_above_them(changes):
    files = {change.entry.path: change.entry for change in changes}
    tree = tree_of(files.values())
    above = {path[:at] for path in files for at in range(len(path)) if path[at] == "/"}
    everything = sorted(files.keys() | above, key=sort_key(files))

    found = list(tree.glob("**"))
    assert [one.path for one in found] == everything
    assert [tree.stat(path) for path in everything] == found
    for depth in (0, 1, 2):
        pattern = "/".join(["*"] * (depth + 1))
        assert [one.path for one in tree.glob(pattern)] == [path for path in everything if path.count("/") == depth]
    for directory in ["", *above]:
        prefix = f"{directory}/" if directory else ""
        children = [one for one in found if one.path.rpartition("/")[0] == directory]
        assert list(tree.list(directory)) == children
        assert list(tree.list(directory, reverse=True)) == children[::-1]
        for place, child in enumerate(children):
            assert list(tree.list(directory, after=child.path)) == children[place + 1 :]
            assert list(tree.list(directory, after=child.path, reverse=True)) == children[:place][::-1]
        below = [files[path] for path in sorted(files) if path.startswith(prefix)]
        assert list(tree.entries(prefix)) == below
        assert tree.stat(directory) == Directory(directory, len(below), sum(one.content.size_bytes for one in below))
    for place, one in enumerate(found):
        assert list(tree.glob("**", after=one.path)) == found[place + 1 :]


nested = st.lists(st.sampled_from(["a", "b", "a-", "a.", "b!"]), min_size=1, max_size=3).map("/".join)


@FEW
@given(st.lists(st.lists(nested, max_size=12), max_size=4), st.integers(0, 40))
def test_no_path_becomes_both_file_and_directory(batches, padding):
    # Padding spreads the few paths over several leaves.
    files = {f"a{'!' * 2}{number:03d}" for number in range(padding)}
    tree = tree_of([entry(path) for path in files])
    for batch in batches:
        wanted = files | set(batch)
        bad = any(one.startswith(f"{other}/") for one in wanted for other in wanted)
        try:
            tree = tree.apply(sorted_changes(Put(entry(path)) for path in batch))
        except PathConflict:
            assert bad
        else:
            assert not bad
            files = wanted
