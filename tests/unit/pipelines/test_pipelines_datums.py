import itertools

import pytest

from airflow_pachy.errors import BranchNotFound, CommitNotFound, InvalidSpec, RepoNotFound
from airflow_pachy.pipelines import list_datums
from airflow_pachy.pipelines.datums import DatumIdentity


def leaf(repo="images", glob="/*", **more):
    return {"pfs": {"repo": repo, "glob": glob, **more}}


def put(pfs, repo, *paths, content=None):
    with pfs.commit(f"{repo}@master") as commit:
        for path in paths:
            commit.put_file(f"/{path}", content or path.encode())


def paths(datums):
    return [tuple(item.path for item in datum.inputs) for datum in datums]


@pytest.fixture
def two_repos(pfs):
    pfs.create_repo("models")
    put(pfs, "images", "a", "b", "c")
    put(pfs, "models", "x", "y")
    return pfs


def test_one_datum_per_match_in_path_order(pfs):
    put(pfs, "images", "b", "a", "dir/one", "dir/two", "c")
    assert paths(list_datums(pfs, leaf())) == [("a",), ("b",), ("c",), ("dir",)]
    assert paths(list_datums(pfs, leaf(glob="/dir/*"))) == [("dir/one",), ("dir/two",)]
    assert paths(list_datums(pfs, leaf(glob="/"))) == [("",)]
    assert paths(list_datums(pfs, leaf(glob="/none*"))) == []


def test_a_datum_says_what_it_reads(pfs):
    put(pfs, "images", "a", content=b"12345")
    ((item,),) = (datum.inputs for datum in list_datums(pfs, leaf(name="photos", lazy=True)))
    head = pfs.inspect_branch("images@master").head
    assert (item.name, item.repo, item.branch, item.commit) == ("photos", "images", "master", head)
    assert (item.path, item.size_bytes, item.lazy, item.empty_files) == ("a", 5, True, False)
    assert item.hash.hex() == pfs.inspect_file("images@master:/a").hash


def test_listing_is_lazy(pfs):
    put(pfs, "images", *(f"f{n}" for n in range(10)))
    assert len(list(itertools.islice(list_datums(pfs, leaf()), 3))) == 3


def test_a_cross_has_all_combinations_the_first_input_fastest(two_repos):
    found = list(list_datums(two_repos, {"cross": [leaf(), leaf("models")]}))
    assert paths(found) == [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("b", "y"), ("c", "y")]
    assert len({datum.id for datum in found}) == 6


def test_crosses_nest_in_the_order_of_the_spec(two_repos):
    nested = {"cross": [{"cross": [leaf(), leaf("models")]}, leaf("models", name="again")]}
    found = list(list_datums(two_repos, nested))
    assert len(found) == 12
    assert [item.name for item in found[0].inputs] == ["images", "models", "again"]
    assert paths(found)[:2] == [("a", "x", "x"), ("b", "x", "x")]


def test_an_empty_factor_empties_a_cross(two_repos):
    assert list(list_datums(two_repos, {"cross": [leaf(), leaf("models", "/none")]})) == []


def test_a_union_lists_one_input_after_the_other(two_repos):
    assert paths(list_datums(two_repos, {"union": [leaf("models"), leaf()]})) == [
        ("x",),
        ("y",),
        ("a",),
        ("b",),
        ("c",),
    ]


def test_a_union_drops_what_it_has_listed_already(two_repos):
    both = {"union": [leaf(glob="/[ab]"), leaf(glob="/*")]}
    assert paths(list_datums(two_repos, both)) == [("a",), ("b",), ("c",)]
    named = {"union": [leaf(glob="/a"), leaf(glob="/a", name="other")]}
    assert len(list(list_datums(two_repos, named))) == 2


def ids(pfs, node=None, **identity):
    return [datum.id for datum in list_datums(pfs, node or leaf(), identity=DatumIdentity(**identity))]


def test_identity_is_name_path_and_content(pfs):
    put(pfs, "images", "dir/a", content=b"1")
    before = ids(pfs)
    assert len(before[0]) == 32
    assert ids(pfs, leaf(name="other")) != before
    assert ids(pfs, leaf(lazy=True)) == before
    put(pfs, "images", "dir/a", content=b"2")
    changed = ids(pfs)
    assert changed != before
    put(pfs, "images", "dir/a", content=b"1")
    assert ids(pfs) == before
    pfs.copy_file("images@master:/dir", "images@master:/moved")
    pfs.delete_file("images@master:/dir")
    assert ids(pfs) != before


def test_identity_is_also_the_pipeline_its_salt_and_code_version(pfs):
    put(pfs, "images", "a")
    variants = [
        ids(pfs),
        ids(pfs, pipeline="edges"),
        ids(pfs, salt="edges"),
        ids(pfs, pipeline="edges", salt="1"),
        ids(pfs, pipeline="edges", salt="1", code_version=""),
        ids(pfs, pipeline="edges", salt="1", code_version="2"),
        ids(pfs, pipeline="edges1", salt=""),
    ]
    assert len({one[0] for one in variants}) == len(variants)
    assert ids(pfs, pipeline="edges", salt="1") == variants[3]


def test_identity_is_kept_for_ever():
    # Changing how ids are made would run every datum of every pipeline again.
    from airflow_pachy.pipelines.datums import identify
    from airflow_pachy.pipelines.inputs.sources import DatumInput, identity_token

    token = identity_token(b"images", "2024/a.png", bytes(range(32)))
    item = DatumInput("images", "images", "master", "c", "2024/a.png", bytes(range(32)), token=token)
    (datum,) = identify(iter([(item,)]), DatumIdentity("edges", "salt", "v1"))
    assert datum.id == "2fa3f6b5de266a4bf107b82ffe6e4d4c"


def test_other_commits_than_the_heads_can_be_listed(pfs):
    put(pfs, "images", "a")
    old = pfs.inspect_branch("images@master").head
    put(pfs, "images", "b")
    assert paths(list_datums(pfs, leaf(), commits={"images@master": old})) == [("a",)]
    assert paths(list_datums(pfs, leaf(commit=old))) == [("a",)]
    assert paths(list_datums(pfs, leaf(commit="master^"))) == [("a",)]


def test_an_open_commit_is_not_read(pfs):
    put(pfs, "images", "a")
    with pfs.commit("images@master") as commit:
        commit.put_file("/b", b"b")
        assert paths(list_datums(pfs, leaf())) == [("a",)]


def test_a_branch_without_a_commit_says_how_to_make_one(pfs):
    pfs.create_branch("images@empty")
    with pytest.raises(CommitNotFound, match="pachy put file images@empty"):
        list(list_datums(pfs, leaf(branch="empty")))


def test_inputs_that_do_not_exist_are_named(pfs):
    with pytest.raises(RepoNotFound, match="nowhere"):
        list(list_datums(pfs, leaf("nowhere")))
    with pytest.raises(BranchNotFound, match="nobranch"):
        list(list_datums(pfs, leaf(branch="nobranch")))
    with pytest.raises(InvalidSpec, match="glob is required"):
        list(list_datums(pfs, {"pfs": {"repo": "images"}}))
    with pytest.raises(InvalidSpec, match="share a directory"):
        list(list_datums(pfs, {"cross": [leaf(), leaf()]}))
