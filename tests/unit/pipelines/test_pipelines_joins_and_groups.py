"""Joins and groups: fifty files foo0 to foo49, matched in every way."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec, list_datums
from airflow_pachy.pipelines.inputs import Captures, DatumInput, GroupInput, Input, JoinInput, PfsInput
from airflow_pachy.pipelines.inputs.spilling import sorted_by_key
from airflow_pachy.worker.plan import read_plan


def leaf(glob="/*", name="data", repo="data", **more):
    return {"pfs": {"repo": repo, "glob": glob, "name": name, **more}}


@pytest.fixture
def fifty(pfs):
    pfs.create_repo("data")
    with pfs.commit("data@master") as commit:
        for number in range(50):
            commit.put_file(f"/foo{number}", b"input")
    return pfs


def listed(pfs, node):
    """Each datum as the numbers of its files."""
    return [[int(item.path.removeprefix("foo")) for item in datum.inputs] for datum in list_datums(pfs, node)]


ONES = leaf("/foo?1")
TWOS = leaf("/foo*2", "twos")


def test_plain_globs_unions_and_crosses(fifty):
    assert listed(fifty, leaf("!(**)")) == []
    assert listed(fifty, ONES) == [[11], [21], [31], [41]]
    assert listed(fifty, TWOS) == [[12], [2], [22], [32], [42]]
    assert len(listed(fifty, {"union": [ONES, TWOS]})) == 9
    assert len(listed(fifty, {"cross": [ONES, TWOS]})) == 20
    nothing = leaf("!(**)", "nothing")
    assert listed(fifty, {"cross": [{"union": [ONES, TWOS]}, nothing]}) == []
    assert listed(fifty, {"cross": [{"cross": [ONES, nothing]}, TWOS]}) == []
    nested = {"cross": [{"union": [leaf("/foo?1", "a"), leaf("/foo*2", "b")]}, ONES, TWOS]}
    assert len(listed(fifty, nested)) == 180


def test_a_join_pairs_files_whose_keys_agree(fifty):
    join = {"join": [leaf("/foo(?)(?)", join_on="$1$2"), leaf("/foo(?)(?)", "turned", join_on="$2$1")]}
    found = listed(fifty, join)
    assert len(found) == 16
    assert sorted(found) == [[10 * a + b, 10 * b + a] for a in range(1, 5) for b in range(1, 5)]


def test_an_outer_join_keeps_what_has_no_partner(fifty):
    left, right = leaf("/foo1(?)", join_on="$1"), leaf("/foo(?)1", "ones", join_on="$1")
    inner = [[11, 11], [12, 21], [13, 31], [14, 41]]
    lonely = [[10], [15], [16], [17], [18], [19]]
    assert sorted(listed(fifty, {"join": [left, right]})) == inner
    left["pfs"]["outer_join"] = True
    assert sorted(listed(fifty, {"join": [left, right]})) == sorted(inner + lonely)
    left["pfs"]["outer_join"] = False
    right["pfs"]["outer_join"] = True
    assert sorted(listed(fifty, {"join": [left, right]})) == inner


def test_an_outer_join_of_three_has_only_the_outer_ones(pfs):
    for repo, names in (("a", "xy"), ("b", "xz"), ("c", "x")):
        pfs.create_repo(repo)
        with pfs.commit(f"{repo}@master") as commit:
            for name in names:
                commit.put_file(f"/{name}", b"1")
    members = [leaf("/(*)", one, one, join_on="$1", outer_join=one != "b") for one in "abc"]
    found = [[f"{item.name}{item.path}" for item in datum.inputs] for datum in list_datums(pfs, {"join": members})]
    # y is in a alone; z in b alone, which is not outer.
    assert found == [["ax", "bx", "cx"], ["ay"]]


@pytest.mark.parametrize("glob", ["/(*)", "/(*)/"])
def test_a_trailing_slash_makes_no_difference_to_keys(pfs, glob):
    for repo in ("one", "two"):
        pfs.create_repo(repo)
        with pfs.commit(f"{repo}@master") as commit:
            for number in range(10):
                commit.put_file(f"/foo-{number}", b"bar")
    node = {"join": [leaf(glob, one, one, join_on="$1") for one in ("one", "two")]}
    assert len(list(list_datums(pfs, node))) == 10


def test_directories_join_too(pfs):
    for repo in ("one", "two"):
        pfs.create_repo(repo)
        with pfs.commit(f"{repo}@master") as commit:
            commit.put_file("/2024-01/a", b"1")
            commit.put_file("/2024-01/b", b"1")
            commit.put_file(f"/{repo}/a", b"1")
    node = {"join": [leaf("/(*)", one, one, join_on="$1") for one in ("one", "two")]}
    assert [[item.path for item in one.inputs] for one in list_datums(pfs, node)] == [["2024-01", "2024-01"]]


def test_a_group_has_all_files_of_a_key(fifty):
    assert listed(fifty, {"group": [leaf("/foo(?)(?)", group_by="$1")]}) == [
        [10 * ten + one for one in range(10)] for ten in range(1, 5)
    ]


def test_a_group_of_two_inputs_has_the_files_of_both(fifty):
    node = {"group": [leaf("/foo(?)(?)", group_by="$1"), leaf("/foo(?)(?)", "again", group_by="$2")]}
    found = listed(fifty, node)
    assert len(found) == 10
    assert found[0] == [10, 20, 30, 40]
    # foo11 is matched by both, so it is there twice.
    assert found[1] == [*range(10, 20), 11, 21, 31, 41]
    assert found[9] == [19, 29, 39, 49]


def test_a_group_takes_a_join_apart(fifty):
    join = {
        "join": [
            leaf("/foo(?)(?)", join_on="$1$2", group_by="$1"),
            leaf("/foo(?)(?)", "turned", join_on="$2$1", group_by="$2"),
        ]
    }
    found = listed(fifty, {"group": [join]})
    assert [sorted(one) for one in found] == [
        sorted([10 * ten + one for one in range(1, 5)] + [10 * one + ten for one in range(1, 5)]) for ten in range(1, 5)
    ]


def test_a_group_beside_files_in_a_union(fifty):
    node = {"union": [leaf("/foo(?)(?)"), {"group": [leaf("/foo(?)(?)", group_by="$2")]}]}
    found = listed(fifty, node)
    assert len(found) == 50
    assert [10, 20, 30, 40] in found


def test_joins_nest_in_crosses_and_in_joins(pfs):
    for repo in ("a", "b", "c", "d"):
        pfs.create_repo(repo)
        with pfs.commit(f"{repo}@master") as commit:
            for key in ("x", "y"):
                commit.put_file(f"/{key}", b"1")
    ab = {"join": [leaf("/(*)", one, one, join_on="$1") for one in "ab"]}
    inner = {"join": [ab, leaf("/(*)", "c", "c", join_on="$1")]}
    assert [[item.name for item in one.inputs] for one in list_datums(pfs, inner)] == [["a", "b", "c"]] * 2
    assert len(list(list_datums(pfs, {"cross": [inner, leaf("/*", "d", "d")]}))) == 4
    either = {"union": [leaf("/(x)", "c", "c", join_on="$1"), leaf("/(y)", "c", "d", join_on="$1")]}
    found = list(list_datums(pfs, {"join": [ab, either]}))
    assert [[item.repo for item in one.inputs] for one in found] == [["a", "b", "c"], ["a", "b", "d"]]


def test_several_files_of_a_key_make_every_combination_the_first_fastest(pfs):
    pfs.create_repo("data")
    with pfs.commit("data@master") as commit:
        for name in ("k-1", "k-2", "k.1", "k.2"):
            commit.put_file(f"/{name}", b"1")
    node = {"join": [leaf("/(k)-?", join_on="$1"), leaf("/(k).?", "dots", join_on="$1")]}
    found = [[item.path for item in one.inputs] for one in list_datums(pfs, node)]
    assert found == [["k-1", "k.1"], ["k-2", "k.1"], ["k-1", "k.2"], ["k-2", "k.2"]]


def test_an_s3_input_is_one_datum_and_may_be_crossed(fifty):
    whole = leaf("/", "whole", s3=True)
    (datum,) = list_datums(fifty, whole)
    assert [item.path for item in datum.inputs] == [""]
    assert len(list(list_datums(fifty, {"cross": [ONES, TWOS, whole]}))) == 20
    others = [leaf("", f"whole{number}", s3=True) for number in range(3)]
    assert len(list(list_datums(fifty, {"cross": others}))) == 1


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"join": [leaf(join_on="$1", glob="/(*)"), leaf("/(*)", "b")]}, "input 'b' of a join needs 'join_on'"),
        ({"group": [leaf("/(*)")]}, "input 'data' of a group needs 'group_by'"),
        ({"join": [leaf("/(*)", join_on="$1")] * 2}, "inputs 'data' of a join would share a directory"),
        ({"group": [leaf("/(*)", group_by="$1")] * 2}, "inputs 'data' of a group would share a directory"),
        ({"join": [{"cross": [leaf("/(*)", join_on="$1")]}]}, "a cross inside a join has no single key"),
        ({"join": [leaf("/(*)", join_on="$2")]}, "uses group 2, but the glob '/(*)' has 1"),
        ({"group": [leaf("/", "w", s3=True, group_by="a")]}, "cannot be in a group"),
        ({"pfs": {"repo": "data", "glob": "/*", "s3": True}}, "its glob is '/'"),
        ({"pfs": {"repo": "data", "glob": "/", "s3": True, "lazy": True}}, "neither lazy nor empty_files"),
        ({"join": {}}, "takes a list"),
    ],
)
def test_what_cannot_be_matched_is_refused(pfs, node, words):
    with pytest.raises(InvalidSpec) as raised:
        list(list_datums(pfs, node))
    assert words in str(raised.value)


def test_more_files_than_are_sorted_in_memory():
    rows = [(f"{number % 7}", number) for number in range(100)]
    assert list(sorted_by_key(iter(rows), run_rows=8)) == sorted(rows, key=lambda row: row[0])
    assert list(sorted_by_key(iter(rows[:8]), run_rows=8)) == sorted(rows[:8], key=lambda row: row[0])
    assert list(sorted_by_key(iter([]), run_rows=8)) == []


def test_a_join_whose_sort_goes_to_disk(fifty, monkeypatch):
    node = {"join": [leaf("/foo(?)(?)", join_on="$1$2"), leaf("/foo(?)(?)", "turned", join_on="$2$1")]}
    before = [datum.id for datum in list_datums(fifty, node)]
    monkeypatch.setattr("airflow_pachy.pipelines.inputs.join.sorted_by_key", lambda rows: sorted_by_key(rows, 7))
    assert [datum.id for datum in list_datums(fifty, node)] == before


def test_a_spec_with_joins_and_groups_is_read_back():
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"image": "i", "cmd": ["c"]},
        "input": {
            "cross": [
                {"join": [leaf("/(*)", join_on="$1", outer_join=True), leaf("/(*)", "b", join_on="$1")]},
                {"group": [leaf("/(*)", "c", group_by="$1", trigger=False)]},
            ]
        },
    }
    (read,) = PipelineSpec.parse(spec)
    assert isinstance(read.input.members[0], JoinInput)
    assert isinstance(read.input.members[1], GroupInput)
    assert PipelineSpec.parse(read.to_spec()) == [read]
    assert [one.trigger for one in read.input.leaves()] == [True, True, False]


def test_the_plan_of_a_job_tells_the_keys(bench):
    bench.put(a1=b"1", b1=b"2", a2=b"3")
    join = {
        "join": [
            leaf("/a(*)", "a", "images", join_on="$1"),
            leaf("/b(*)", "b", "images", join_on="$1"),
        ]
    }
    bench.document["input"] = {"union": [join, {"group": [leaf("/[ab](*)", "c", "images", group_by="$1")]}]}
    plan = bench.plan()
    assert plan.total == 3
    datums = [datum for key in plan.sets for datum in read_plan(bench.pfs.store, key).datums]
    assert [[(item.path, item.captures) for item in datum.inputs] for datum in datums] == [
        [("a1", ("/a(*)", "$1", "")), ("b1", ("/b(*)", "$1", ""))],
        [("a1", ("/[ab](*)", "", "$1")), ("b1", ("/[ab](*)", "", "$1"))],
        [("a2", ("/[ab](*)", "", "$1"))],
    ]


def test_a_changed_file_runs_its_group_again(bench):
    bench.put(a1=b"1", b1=b"2", a2=b"3")
    bench.document["input"] = {"group": [leaf("/[ab](*)", "in", "images", group_by="$1")]}
    assert bench.run().datums_processed == 2
    bench.put(b1=b"changed")
    done = bench.run()
    assert (done.datums_processed, done.datums_skipped) == (1, 1)


class Listed(Input):
    """An input that lists what it is told to: paths `key.number`."""

    name: str
    keys: tuple[str, ...]
    outer: bool = False

    @property
    def may_repeat(self):
        return False

    def leaves(self):
        yield PfsInput(repo="r", name=self.name, glob="/(*).*", join_on="$1", group_by="$1", outer_join=self.outer)

    def datums(self, sources):
        captures = Captures("/(*).*", "$1", "$1")
        for number, key in enumerate(self.keys):
            path = f"{key}.{number}"
            yield (DatumInput(self.name, "r", "master", "c", path, b"", captures=captures),)

    def to_spec(self):
        return {}

    def check_names(self):
        pass


MEMBERS = st.lists(st.tuples(st.lists(st.sampled_from("abcd"), max_size=6), st.booleans()), min_size=1, max_size=3).map(
    lambda found: [Listed(name=f"m{n}", keys=tuple(keys), outer=outer) for n, (keys, outer) in enumerate(found)]
)


def files_of(member, key):
    return [f"{member.name}:{key}.{number}" for number, one in enumerate(member.keys) if one == key]


def names(rows):
    return sorted([f"{item.name}:{item.path}" for item in row] for row in rows)


@given(MEMBERS)
def test_a_join_is_what_its_definition_says(members):
    expected = []
    for key in "abcd":
        columns = [files_of(member, key) for member in members]
        if not all(columns):
            columns = [column for column, member in zip(columns, members, strict=True) if column and member.outer]
        if columns:
            expected += [list(row) for row in itertools.product(*columns)]
    assert names(JoinInput.model_validate(members).datums(None)) == sorted(expected)


@given(MEMBERS)
def test_a_group_is_what_its_definition_says(members):
    groups = [[file for member in members for file in files_of(member, key)] for key in "abcd"]
    found = [[f"{item.name}:{item.path}" for item in row] for row in GroupInput.model_validate(members).datums(None)]
    assert found == [group for group in groups if group]
