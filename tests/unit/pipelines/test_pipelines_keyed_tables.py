"""Joins, groups and crosses as columns are what they are as objects; few keys are found without a listing."""

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Put, Tree, glob, sorted_changes
from airflow_pachy.pfs.tree.entries import Content, Entry
from airflow_pachy.pipelines import keyed_tables
from airflow_pachy.pipelines.datums import DatumIdentity, identify
from airflow_pachy.pipelines.datums_table import Leaves, concat, list_tables
from airflow_pachy.pipelines.inputs import Source, Sources, parse_input
from airflow_pachy.pipelines.inputs.finding import find_by_key
from airflow_pachy.pipelines.inputs.keys import key_filler


def leaf(repo="a", pattern="/(?)*", **more):
    return {"pfs": {"repo": repo, "glob": pattern, **more}}


def member(kind, repo, pattern="/(?)*", **more):
    return leaf(repo, pattern, **{"join_on" if kind == "join" else "group_by": "$1"}, **more)


def both(kind, **more):
    return {kind: [member(kind, "a", **more), member(kind, "b", "/**(x|y|z)"), member(kind, "c")]}


INPUTS = {
    "join": both("join"),
    "outer join": both("join", outer_join=True),
    "join of two": {"join": both("join")["join"][:2]},
    "join of a union": {
        "join": [
            {"union": [member("join", "a"), member("join", "c", "/*(x|y)", outer_join=True)]},
            member("join", "b", "/(*)/*", outer_join=True),
        ]
    },
    "directories": {"join": [member("join", "a", "/(?)"), member("join", "b", "/(*)/")]},
    "group": both("group"),
    "cross": {"cross": [leaf("a"), leaf("b", "/**"), leaf("c", "/*/")]},
    "cross of one": {"cross": [leaf("a")]},
    "cross of a union": {"cross": [leaf("b", "/(?)"), {"union": [leaf("a"), leaf("c", "/x*")]}]},
    "group of a union": {"group": [{"union": [member("group", "a"), member("group", "c")]}, member("group", "b")]},
}

paths = st.sampled_from(["x", "y", "z", "xx", "xy", "zx", "d/x", "d/y", "e/x", "d.x"])
repos = st.fixed_dictionaries({name: st.dictionaries(paths, st.sampled_from([b"1", b"2"])) for name in "abc"})
IDENTITY = DatumIdentity("p", "salt")
STORE = MemoryStore()
FEW = settings(max_examples=10)


def tree_of(store, files):
    entries = [Entry(path, Content(hash_bytes(content), 1, inline=content)) for path, content in files.items()]
    return Tree(store, None).apply(sorted_changes([Put(entry) for entry in entries]))


def sources_of(contents, commit="c"):
    trees = {repo: tree_of(STORE, files) for repo, files in contents.items()}
    return Sources({(repo, "master", None): Source(commit * 32, tree) for repo, tree in trees.items()})


def described(item):
    return item.name, item.commit, item.path, item.hash, item.size_bytes


@pytest.mark.parametrize("kind", INPUTS)
@FEW
@given(contents=repos, chunk=st.integers(1, 7))
def test_columns_are_what_objects_are(kind, contents, chunk):
    node = parse_input(INPUTS[kind])
    assert keyed_tables.has_columns(node)
    sources, leaves = sources_of(contents), Leaves()
    with mock.patch.object(keyed_tables, "_CHUNK", chunk):
        table = concat(list_tables(node, sources, IDENTITY, leaves))
    listed = list(identify(node.datums(sources), IDENTITY))
    assert table["id"].to_pylist() == [datum.id for datum in listed]
    keys = leaves.keys
    rows = [
        [(*(keys[one["leaf"]][place] for place in (0, 3)), one["path"], one["hash"], one["size"]) for one in row]
        for row in table["inputs"].to_pylist()
    ]
    assert rows == [[described(item) for item in datum.inputs] for datum in listed]


TELLING = {
    **{kind: INPUTS[kind] for kind in ("join", "outer join", "join of two", "directories", "group")},
    "join by what comes later": {"join": [leaf("a", "/*(?)", join_on="$1"), leaf("b", "/**(x|y)", join_on="$1")]},
    "join by two groups": {"join": [leaf("a", "/(*)/(?)", join_on="$2-$1"), leaf("b", "/(?)/(?)", join_on="${2}-$1")]},
    "join of joins": {
        "join": [
            {"join": [member("join", "a", "/(?)"), member("join", "b", "/(?)")]},
            member("join", "c", "/(?)/*", outer_join=True),
        ]
    },
    "group of directories": {"group": [member("group", "a", "/(*)*/"), member("group", "b", "/d/(?)**")]},
    "union of joins": {
        "union": [
            {"join": [member("join", "a"), member("join", "b", "/(?)")]},
            {"join": [member("join", "a", "/(x)*"), member("join", "b", "/(x)")]},
        ]
    },
    "union of groups": {"union": [{"group": [member("group", "a")]}, {"group": [leaf("a", "/*(?)", group_by="$1")]}]},
    "cross of a group": {"cross": [{"group": [member("group", "a")]}, leaf("b")]},
    "cross of joins": {"cross": [{"join": [member("join", "a"), member("join", "b")]}, leaf("c", "/(x)*")]},
}


def tokens(row):
    return tuple(item.token for item in row)


@pytest.mark.parametrize("kind", TELLING)
@FEW
@given(before=repos, after=repos)
def test_changes_of_a_few_keys_are_those_of_a_listing(kind, before, after):
    node = parse_input(TELLING[kind])
    old, new = sources_of(before, "a"), sources_of(after, "b")
    listed = {tokens(row): place for place, row in reversed(list(enumerate(node.datums(new))))}
    were = {tokens(row) for row in node.datums(old)}
    changes = node.changes(new, old, 1000)
    added = [tokens(row) for _order, row in sorted(changes.added, key=lambda item: item[0])]
    told = list(dict.fromkeys(one for one in added if one not in were))
    assert told == sorted(listed.keys() - were, key=listed.get)
    assert {tokens(row) for row in changes.removed} == were - listed.keys()
    for row in node.datums(new):
        assert node.lists(new, row) in (True, None)


@pytest.mark.parametrize("kind", ["join", "group"])
def test_many_keys_and_large_products_are_not_told(kind):
    files = {f"{letter}{number}": b"1" for letter in "xyz" for number in range(9)}
    old, new = sources_of({"a": {}, "b": files, "c": files}), sources_of({"a": files, "b": files, "c": files})
    node = parse_input({kind: [member(kind, repo) for repo in "abc"]})
    assert node.changes(new, old, 2) is None
    assert (node.changes(new, old, 100) is None) == (kind == "join")
    assert len(node.changes(new, old, 10_000).added) == (3 * 9**3 if kind == "join" else 3)


def test_members_that_cannot_tell_leave_it_to_a_listing():
    inner = {"join": [leaf("a", "/(?)*", join_on="$1", group_by="$1"), leaf("b", "/(?)", join_on="$1", group_by="$1")]}
    nested = parse_input({"group": [inner]})
    old, new = sources_of({"a": {"x": b"1"}, "b": {}}), sources_of({"a": {"x": b"1"}, "b": {"x": b"1"}})
    assert nested.changes(new, old, 100) is None
    assert parse_input(INPUTS["join of a union"]).changes(new, old, 100) is None


@pytest.mark.parametrize(
    ("pattern", "template", "narrow"),
    [
        ("/(*)", "$1", True),
        ("/(*).csv", "${1}", True),
        ("/in/@(*)-*.csv", "$1", True),
        ("/(*)/**", "$1", True),
        ("/+(ab|c)*", "$1", True),
        ("/\\@(*)", "$1", True),
        ("/{a,b}/(*)", "$1", False),
        ("/*/(*).csv", "$1", False),
        ("/(*)-(*)", "$2", False),
        ("/(a(*))", "$2", False),
        ("/(*)", "x$1", False),
        ("/(*)", "$0", False),
    ],
)
def test_files_of_a_key_are_found_with_and_without_a_listing(monkeypatch, pattern, template, narrow):
    names = ["a", "a.csv", "b.csv", "in/a-1.csv", "in/a-2.csv", "in/b-1.csv", "in/a*-1.csv", "ab", "abc", "abab", "@a"]
    names += ["a/b.csv", "a/b/c", "b/b.csv", "a-b", "a-b-c", "*", "[a]", "in/x/y-1.csv"]
    files = {name: b"1" for name in names if not any(other.startswith(f"{name}/") for other in names)}
    tree = tree_of(STORE, files)
    fill = key_filler(pattern, template)
    expected = {}
    for found in tree.glob(pattern):
        expected.setdefault(fill(found.path), []).append(found)
    listings = []
    plain = Tree.glob_tables
    monkeypatch.setattr(Tree, "glob_tables", lambda self, *args: listings.append(args) or plain(self, *args))
    for keys in ({"nothing"}, *({key} for key in expected), set(expected)):
        answer = {}
        for key, found in find_by_key(tree, pattern, template, keys):
            answer.setdefault(key, []).append(found)
        assert answer == {key: found for key, found in expected.items() if key in keys}
    assert expected
    assert bool(listings) != narrow


def test_a_group_of_a_pattern_is_replaced_by_what_it_stands_for():
    pattern = glob.compile_glob("/@(*)-{(x),y}/!(b)(c)")
    assert pattern.with_group(1, "a*").pattern == r"/a\*-{(x),y}/!(b)(c)"
    assert pattern.with_group(2, "x") is None
    assert pattern.with_group(3, "/").pattern == "/@(*)-{(x),y}//(c)"
    assert pattern.with_group(4, "").pattern == "/@(*)-{(x),y}/!(b)"
    assert pattern.with_group(0, "x") is pattern.with_group(5, "x") is None
