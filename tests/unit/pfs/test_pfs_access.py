"""Roles on repos: what each may do, who may change them, and that no verb is left out."""

import inspect

import pytest

from airflow_pachy.errors import BranchNotFound, Denied, InvalidArgument, RepoNotFound
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.access import Role
from airflow_pachy.pfs.client.guard import FREE, RULES


@pytest.fixture
def ada(as_):
    """Owner of the repo `images`, which has one file."""
    client = as_("user:ada")
    client.create_repo("images")
    client.put_file("images@master:/a.png", b"png")
    return client


def test_whoever_creates_a_repo_owns_it(ada, as_):
    assert ada.acl("images") == {"user:ada": "OWNER"}
    with pytest.raises(Denied) as caught:
        as_("user:bob").get_file("images@master:/a.png")
    assert isinstance(caught.value, PermissionError)
    assert str(caught.value) == (
        "user:bob may not read repo 'images': that needs READER, and user:bob has no role there; "
        "user:ada or an administrator can grant it: pachy auth set images user:bob READER"
    )


def test_readers_read_and_leave_no_trace_when_they_write(ada, as_):
    ada.create_repo("photos")
    ada.create_branch("images@staging", head="images@master")
    ada.grant("images", "user:bob", "READER")
    bob = as_("user:bob")
    assert bob.get_file("images@master:/a.png") == b"png"
    assert [info.path for info in bob.glob_file("images", "/*")] == ["/a.png"]
    assert list(bob.diff_file("images@master"))
    before = (ada.list_branches("images"), [info.id for info in ada.list_commits("images")])
    for write in (
        lambda: bob.put_file("images@master:/b.png", b"b"),
        lambda: bob.put_file("images@new:/b.png", b"b"),
        lambda: bob.delete_file("images@master:/a.png"),
        lambda: bob.copy_file("images@master:/a.png", "images@master:/b.png"),
        lambda: bob.start_commit("images@master"),
        lambda: bob.commit("images@master"),
        lambda: bob.create_branch("images@mine", head="images@master"),
        lambda: bob.delete_branch("images@staging"),
        lambda: bob.drop_commit("images@master"),
        lambda: bob.delete_commit("images@master"),
        lambda: bob.create_repo("images", "better", update=True),
    ):
        with pytest.raises(Denied, match=r"user:bob may not write to repo 'images': that needs WRITER.*has READER"):
            write()
    with pytest.raises(Denied, match="administer repo 'images': that needs OWNER"):
        bob.delete_repo("images")
    assert (ada.list_branches("images"), [info.id for info in ada.list_commits("images")]) == before


def test_writers_write_but_neither_grant_nor_delete(ada, as_):
    ada.grant("images", "user:bob", "WRITER")
    bob = as_("user:bob")
    with bob.commit("images@master") as commit:
        commit.put_file("/b.png", b"b")
    assert bob.inspect_commit("images@master").author == "user:bob"
    for administer in (
        lambda: bob.grant("images", "user:bob", "OWNER"),
        lambda: bob.grant("images", "user:cy", "READER"),
        lambda: bob.delete_repo("images", force=True),
    ):
        with pytest.raises(Denied, match="that needs OWNER, and user:bob has WRITER"):
            administer()
    assert ada.acl("images") == {"user:ada": "OWNER", "user:bob": "WRITER"}


def test_a_role_can_be_changed_and_taken_away(ada, as_):
    bob = as_("user:bob")
    ada.grant("images", "user:bob", "owner")
    bob.grant("images", "user:ada", Role.READER)
    with pytest.raises(Denied):
        ada.put_file("images@master:/c", b"c")
    bob.grant("images", "user:ada", "NONE")
    assert bob.acl("images") == {"user:bob": "OWNER"}
    with pytest.raises(Denied):
        ada.acl("images")


def test_the_last_owner_stays(ada, as_):
    for role in ("NONE", "WRITER"):
        with pytest.raises(InvalidArgument, match="last OWNER of repo 'images'"):
            ada.grant("images", "user:ada", role)
    as_(None).grant("images", "user:ada", "NONE")
    assert as_("user:bob").acl("images") == {}


def test_a_repo_without_grants_is_open_until_the_first_one(as_):
    admin, ada, bob = as_(None), as_("user:ada"), as_("user:bob")
    admin.create_repo("open")
    bob.put_file("open@master:/a", b"a")
    bob.grant("open", "user:nobody", "NONE")
    assert bob.acl("open") == {}
    ada.grant("open", "user:cy", "READER")
    assert ada.acl("open") == {"user:ada": "OWNER", "user:cy": "READER"}
    with pytest.raises(Denied):
        bob.get_file("open@master:/a")
    assert admin.get_file("open@master:/a") == b"a"


def test_groups_and_all_users_count(ada, as_):
    ada.grant("images", "group:lab", "WRITER")
    with pytest.raises(Denied, match=r"user:bob \(also as group:office\) may not write"):
        as_("user:bob,group:office").put_file("images@master:/x", b"x")
    member = as_("user:bob, group:office, group:lab")
    member.put_file("images@master:/x", b"x")
    assert member.inspect_commit("images@master").author == "user:bob"
    ada.grant("images", "allUsers", "READER")
    assert as_("robot:ci").get_file("images@master:/x") == b"x"


def test_a_client_can_act_for_a_pipeline(ada, as_):
    ada.grant("images", "pipeline:edges", "READER")
    bob = as_("user:bob")
    assert bob.acting_as("pipeline:edges").get_file("images@master:/a.png") == b"png"
    with pytest.raises(Denied, match=r"user:bob \(also as pipeline:edges\) may not write"):
        bob.acting_as("pipeline:edges").put_file("images@master:/b", b"b")
    with pytest.raises(Denied):
        bob.get_file("images@master:/a.png")
    with pytest.raises(InvalidArgument):
        bob.acting_as("edges")
    assert as_(None).acting_as("pipeline:edges").principal is None


def test_every_repo_is_listed_with_the_callers_role(ada, as_):
    as_(None).create_repo("open")
    ada.grant("images", "user:bob", "READER")
    roles = {who: {info.name: info.access for info in as_(who).list_repos()} for who in ("user:ada", "user:bob", None)}
    assert roles == {
        "user:ada": {"images": "OWNER", "open": "OWNER"},
        "user:bob": {"images": "READER", "open": "OWNER"},
        None: {"images": "OWNER", "open": "OWNER"},
    }
    assert as_("user:cy").inspect_repo("images").access == "NONE"


def test_reading_what_is_copied_or_built_on_needs_a_role_too(ada, as_):
    bob = as_("user:bob")
    bob.create_repo("mine")
    for reach in (
        lambda: bob.copy_file("images@master:/a.png", "mine@master:/a.png"),
        lambda: bob.create_branch("mine@master", provenance=["images@master"]),
        lambda: bob.start_commit("mine@master", provenance=["images@master"]),
        lambda: bob.put_url("mine@master:/a.png", "pfs://images/master/a.png"),
        lambda: bob.put_url("mine@master:/a.png", "PFS://images/master/@mine/master/a.png"),
        lambda: bob.get_file(f"{ada.inspect_commit('images@master').id}:/a.png"),
    ):
        with pytest.raises(Denied, match="read repo 'images'"):
            reach()
    assert bob.inspect_repo("mine").branches == ()


def test_deleting_a_commit_needs_the_right_on_what_was_made_from_it(ada, as_):
    bob = as_("user:bob")
    ada.grant("images", "user:bob", "WRITER")
    ada.create_repo("edges")
    ada.create_branch("edges@master", provenance=["images@master"])
    ada.put_file("edges@master:/a", b"edge")
    with pytest.raises(Denied, match="write to repo 'edges'"):
        bob.delete_commit("images@master")
    assert ada.get_file("images@master:/a.png") == b"png"


def test_roles_go_with_their_repo(ada, as_):
    ada.delete_repo("images")
    bob = as_("user:bob")
    bob.create_repo("images")
    assert bob.acl("images") == {"user:bob": "OWNER"}


def test_what_does_not_exist_is_told_as_such(as_):
    bob = as_("user:bob")
    with pytest.raises(RepoNotFound):
        bob.get_file("nowhere@master:/a")
    with pytest.raises(RepoNotFound):
        bob.acl("nowhere")
    with pytest.raises(RepoNotFound):
        bob.grant("nowhere", "user:ada", "READER")
    bob.create_repo("images")
    with pytest.raises(BranchNotFound):
        bob.delete_commit("images@nothing")


@pytest.mark.parametrize("principal", ["ada", "usr:ada", "user:", "user:a b", "", "allusers", f"user:{'x' * 250}"])
def test_what_is_no_principal_is_granted_nothing(ada, principal):
    with pytest.raises(InvalidArgument, match=r"not a principal; write user:NAME, .*allUsers"):
        ada.grant("images", principal, "READER")


def test_what_is_no_role_is_not_granted(ada):
    with pytest.raises(InvalidArgument, match="'ADMIN' is not a role; use one of NONE, READER, WRITER, OWNER"):
        ada.grant("images", "user:bob", "ADMIN")


@pytest.mark.parametrize(
    ("caller", "told"),
    [("usr:ada", "'usr:ada' cannot be"), ("allUsers", "cannot be"), ("user:ada,lab", "'lab' in 'user:ada,lab'")],
)
def test_who_cannot_be_a_caller_is_told_at_once(as_, caller, told):
    with pytest.raises(InvalidArgument, match=told):
        as_(caller)


def verbs():
    return {
        name: member
        for name, member in inspect.getmembers(Pfs, callable)
        if not name.startswith("_") and inspect.isfunction(member)
    }


def test_every_verb_says_which_right_it_needs():
    """A new verb needs a line in RULES of airflow_pachy/pfs/client/guard.py."""
    assert sorted(set(verbs()) - set(RULES)) == []


def test_every_rule_names_an_argument_of_its_verb():
    for name, verb in verbs().items():
        known = set(inspect.signature(verb).parameters)
        for rule in RULES.get(name, ()):
            assert getattr(rule, "argument", None) in {None, *known}, (name, rule)


def test_verbs_without_a_rule_are_refused_to_principals(ada, as_, monkeypatch):
    monkeypatch.delitem(RULES, "acl")

    class Later(Pfs):
        def peek(self, path):
            return path

    root = ada._root
    with pytest.raises(Denied, match="may not use peek"):
        Later(root).peek("images@master:/")
    assert Later(as_(None)._root).peek("x") == "x"


def test_free_verbs_are_few():
    assert {name for name, rules in RULES.items() if rules == FREE} == {
        "open", "close", "acting_as", "new_content_writer", "inspect_repo", "list_repos",
        "publish_output_commit", "grant", "tick_triggers", "transaction", "closed_repos",
        "require_reader", "require_writer", "require_owner",
    }  # fmt: skip
