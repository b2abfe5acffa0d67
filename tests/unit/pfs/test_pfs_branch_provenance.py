"""Provenance of branches, and working with branches: release, roll back, fork."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import HasDependents, InvalidArgument


def wire(pfs, **upstream):
    for name, above in upstream.items():
        pfs.create_repo(name)
        pfs.create_branch(f"{name}@master", provenance=[f"{one}@master" for one in above])


def closure(pfs, repo, *, down=False):
    info = pfs.inspect_branch(f"{repo}@master")
    found = info.transitive_subvenance if down else info.transitive_provenance
    return "".join(one.partition("@")[0] for one in found)


def put(pfs, address, data=b"1"):
    pfs.put_file(f"{address}:/x", data)
    return pfs.inspect_branch(address).head


def made_from(pfs, address):
    return {info.repo: info.id for info in pfs.provenance(address)}


@pytest.fixture
def line(pfs):
    """A -> B -> C -> D, and E -> C."""
    wire(pfs, A=[], B=["A"], E=[], C=["B", "E"], D=["C"])
    return pfs


def test_closures_go_all_the_way_in_both_directions(line):
    assert [closure(line, repo) for repo in "ABECD"] == ["", "A", "", "ABE", "ABCE"]
    assert [closure(line, repo, down=True) for repo in "ABECD"] == ["BCD", "CD", "CD", "D", ""]
    assert line.inspect_branch("D@master").provenance == ("C@master",)


def test_commits_have_the_closure_of_their_branches(line):
    heads = {repo: put(line, f"{repo}@master") for repo in "ABECD"}
    for repo in "BCD":
        wanted = {above: heads[above] for above in closure(line, repo)}
        assert made_from(line, f"{repo}@master") == wanted


def test_edges_that_follow_from_others_change_nothing(line):
    line.create_branch("D@master", provenance=["C@master", "A@master", "B@master"])
    assert closure(line, "D") == "ABCE"
    line.create_branch("D@master", provenance=["C@master"])
    assert closure(line, "D") == "ABCE"
    assert closure(line, "A", down=True) == "BCD"


def test_closures_shrink_when_an_edge_goes(line):
    line.create_branch("C@master", provenance=["E@master"])
    assert [closure(line, repo) for repo in "CD"] == ["E", "CE"]
    assert closure(line, "A", down=True) == "B"
    line.create_branch("D@master", provenance=[])
    assert closure(line, "D") == ""


def test_circles_of_any_length_are_named(line):
    with pytest.raises(InvalidArgument, match="circle"):
        line.create_branch("A@master", provenance=["A@master"])
    with pytest.raises(InvalidArgument, match=r"A@master <- B@master <- C@master <- D@master <- A@master"):
        line.create_branch("A@master", provenance=["D@master"])
    assert closure(line, "A") == ""


def test_a_branch_in_the_middle_is_deleted_only_by_force(line):
    with pytest.raises(HasDependents, match="C@master"):
        line.delete_branch("B@master")
    line.delete_branch("B@master", force=True)
    assert [closure(line, repo) for repo in "CD"] == ["E", "CE"]
    assert closure(line, "A", down=True) == ""
    line.delete_repo("D")
    with pytest.raises(HasDependents, match="C"):
        line.delete_repo("E")


def test_commits_keep_what_they_were_made_from_when_the_branch_changes(line):
    heads = {repo: put(line, f"{repo}@master") for repo in "ABEC"}
    before = line.inspect_branch("C@master").head
    line.create_branch("C@master", provenance=["E@master"])
    put(line, "C@master")
    assert made_from(line, "C@master") == {"E": heads["E"]}
    assert made_from(line, f"C@{before}") == {one: heads[one] for one in "ABE"}


def test_a_commit_is_made_from_present_heads_and_not_from_history(line):
    for number in range(3):
        newest = put(line, "A@master", str(number))
    put(line, "B@master")
    assert made_from(line, "B@master") == {"A": newest}
    line.start_commit("A@master")
    put(line, "B@master", b"2")
    assert made_from(line, "B@master") == {"A": newest}


def test_branches_of_one_repo_may_derive_from_each_other(images):
    images.create_branch("images@raw")
    images.create_branch("images@clean", provenance=["images@raw"])
    raw = put(images, "images@raw")
    put(images, "images@clean")
    assert images.inspect_commit("images@clean").provenance == (f"images@{raw}",)
    assert images.list_branches("images")[0].transitive_provenance == ("images@raw",)


def test_deferred_processing(line):
    """Data gathers on staging; what derives from master sees it when master is moved there, with all behind it."""
    line.create_branch("B@master", provenance=[])
    line.create_branch("B@staging", provenance=["A@master"])
    first = put(line, "A@master")
    staged = put(line, "B@staging")
    put(line, "C@master")
    assert made_from(line, "C@master") == {}
    line.create_branch("B@master", head="B@staging")
    put(line, "C@master", b"2")
    assert made_from(line, "C@master") == {"B": staged, "A": first}


def test_rolling_back_the_middle_takes_its_old_data_and_their_origins(line):
    """A <- B <- C: B goes back to its first commit, and C's next one resolves A to the data of then."""
    line.create_branch("C@master", provenance=["B@master"])
    firsts = {repo: put(line, f"{repo}@master", b"old") for repo in "ABC"}
    for repo in "ABC":
        put(line, f"{repo}@master", b"new")
    line.create_branch("B@master", head=f"B@{firsts['B']}")
    put(line, "C@master", b"again")
    assert made_from(line, "C@master") == {"A": firsts["A"], "B": firsts["B"]}
    assert line.get_file("B@master:/x") == b"old"


def test_a_fork_shares_history_and_goes_its_own_way(images):
    first = put(images, "images@master", b"1")
    put(images, "images@master", b"2")
    images.create_branch("images@fork", head=f"images@{first}")
    images.put_file("images@fork:/y", b"3")
    assert images.inspect_commit("images@fork^").id == first
    assert images.get_file("images@fork:/x") == b"1"
    assert images.get_file("images@master:/x") == b"2"
    assert len(images.inspect_commit(f"images@{first}").children) == 2


def test_a_head_that_is_there_already_is_no_move(images):
    put(images, "images@master")
    before = images.inspect_branch("images@master")
    assert images.create_branch("images@master", head="images@master") == before
