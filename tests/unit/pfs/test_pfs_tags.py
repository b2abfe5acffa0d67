"""Tags, labels and descriptions, and commits whose data was forgotten."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import (
    AlreadyExists,
    BranchNotFound,
    CommitFinished,
    CommitForgotten,
    CommitNotFound,
    CommitOpen,
    Conflict,
    HasDependents,
    InvalidArgument,
    InvalidName,
    TagNotFound,
)
from airflow_pachy.pfs import Pfs, Trigger
from airflow_pachy.pfs.address import Address, parse_address
from airflow_pachy.pfs.mirror import read_mirror


@pytest.fixture
def history(images):
    """Three commits of images@master, /a being 1, 2 and 3; their ids, oldest first."""
    for number in range(1, 4):
        images.put_file("images@master:/a", str(number))
    return [info.id for info in images.list_commits("images@master", reverse=True)]


@pytest.mark.parametrize("name", ["v1", "v1.2", "v1.2.3", "2026.05", "2026.05.01", "release-1_0", "1.0-rc.1", "v1.x"])
def test_a_tag_names_a_commit_in_addresses(images, history, name):
    tag = images.tag_commit(f"images@{history[0]}", name)
    assert (str(tag), tag.name, tag.commit, tag.author) == (f"images@{name}", name, f"images@{history[0]}", "user:ada")
    images.put_file("images@master:/a", b"4")
    assert images.get_file(f"images@{name}:/a") == b"1"
    assert images.inspect_commit(f"images@{name}").tags == (name,)
    images.delete_tag(f"images@{name}")
    with pytest.raises((BranchNotFound, TagNotFound)):
        images.inspect_commit(f"images@{name}")


@pytest.mark.parametrize(
    "name", ["", "v1.", ".v1", "a..b", "a b", "a/b", "v^1", "v~", "x" * 129, "0" * 32, "v1.-2", "v.+1"]
)
def test_names_that_no_address_could_hold_are_refused(images, history, name):
    with pytest.raises(InvalidName):
        images.tag_commit("images@master", name)


@pytest.mark.parametrize(
    ("text", "ref", "ancestry"),
    [
        ("r@v1.2", "v1", -2),
        ("r@v1.2.3", "v1.2.3", 0),
        ("r@2026.05", "2026.05", 0),
        ("r@v1.x", "v1.x", 0),
        ("r@v1..", "v1", -2),
        ("r@v1.0", "v1.0", 0),
    ],
)
def test_dots_are_ancestry_if_they_can_be(text, ref, ancestry):
    assert parse_address(text) == Address("r", ref, ancestry)


def test_a_version_that_ends_in_zero_is_a_tag(images, history):
    images.tag_commit(f"images@{history[1]}", "v1.0")
    assert images.get_file("images@v1.0:/a") == b"2"
    assert [tag.name for tag in images.list_tags("images")] == ["v1.0"]


def test_a_tag_takes_ancestry_when_it_has_no_dots(images, history):
    images.tag_commit("images@master", "newest")
    assert images.inspect_commit("images@newest^").id == history[1]
    assert images.inspect_commit("images@newest.1").id == history[0]


def test_a_tag_never_moves(images, history):
    first = images.tag_commit(f"images@{history[0]}", "v1")
    assert images.tag_commit(f"images@{history[0]}", "v1") == first
    with pytest.raises(AlreadyExists, match=history[0]):
        images.tag_commit("images@master", "v1")
    with pytest.raises(AlreadyExists, match="is a tag"):
        images.put_file("images@v1:/b", b"x")
    with pytest.raises(AlreadyExists, match="is a tag"):
        images.create_branch("images@v1", head="images@master")
    assert images.get_file("images@v1:/a") == b"1"


def test_nothing_is_written_to_a_tag_with_dots(images, history):
    images.tag_commit(f"images@{history[0]}", "v1.2")
    images.tag_commit(f"images@{history[0]}", "v1.2.3")
    with pytest.raises(CommitFinished):
        images.put_file("images@v1.2:/b", b"x")
    with pytest.raises((AlreadyExists, InvalidName)):
        images.put_file("images@v1.2.3:/b", b"x")
    assert [branch.name for branch in images.list_branches("images")] == ["master"]


def test_a_tag_and_a_branch_cannot_mean_two_things(images, history):
    with pytest.raises(AlreadyExists, match="branch 'master'"):
        images.tag_commit(f"images@{history[0]}", "master")
    with pytest.raises(AlreadyExists, match="branch 'master'"):
        images.tag_commit(f"images@{history[0]}", "master.1")
    images.tag_commit(f"images@{history[0]}", "v1.2")
    with pytest.raises(AlreadyExists, match=r"tag 'v1\.2'"):
        images.create_branch("images@v1")
    images.create_branch("images@v2")


def test_only_finished_commits_are_tagged(images, history):
    images.start_commit("images@master")
    with pytest.raises(CommitOpen):
        images.tag_commit("images@master", "v1")
    with pytest.raises(CommitNotFound):
        images.tag_commit("images@" + "0" * 32, "v1")
    with pytest.raises(TagNotFound, match="no tag 'v1'"):
        images.delete_tag("images@v1")


def test_a_tagged_commit_is_not_removed(images, history):
    images.tag_commit("images@master", "v1")
    images.tag_commit(f"images@{history[1]}", "v0")
    for remove, commit in [
        (images.drop_commit, "images@v1"),
        (images.delete_commit, "images@v1"),
        (images.squash_commit, "images@v0"),
        (images.forget_commit, "images@v0"),
    ]:
        with pytest.raises(HasDependents, match="tagged"):
            remove(commit)
    images.delete_tag("images@v1")
    images.drop_commit("images@master")


def test_tags_and_labels_are_in_the_copy_in_the_bucket(images, history):
    images.tag_commit("images@master", "v1.0")
    images.update_commit("images@master", labels={"source": "camera 2"})
    document = read_mirror(images.store, history[2])
    assert [(tag["name"], tag["author"]) for tag in document["tags"]] == [("v1.0", "user:ada")]
    assert document["labels"] == {"source": "camera 2"}
    images.delete_tag("images@v1.0")
    assert read_mirror(images.store, history[2])["tags"] == []


def test_labels_are_given_at_the_start_added_at_the_end_and_changed_later(images):
    images.start_commit("images@master", labels={"source": "camera", "by": "hand"})
    info = images.finish_commit("images@master", labels={"by": "robot", "checked": "yes"})
    assert info.labels == {"source": "camera", "by": "robot", "checked": "yes"}
    assert read_mirror(images.store, info.id)["labels"] == info.labels
    changed = images.update_commit("images@master", "better", labels={"checked": None, "source": "scan"})
    assert (changed.labels, changed.description) == ({"source": "scan", "by": "robot"}, "better")
    assert read_mirror(images.store, info.id)["description"] == "better"
    with images.commit("images@master", labels={"source": "scan"}):
        pass
    images.put_file("images@master:/x", b"")
    assert len(list(images.list_commits("images@master", labels={"source": "scan"}))) == 2
    assert [one.id for one in images.list_commits("images@master", labels={"source": "scan", "by": "robot"})] == [
        info.id
    ]
    assert list(images.list_commits("images@master", labels={"source": "camera"})) == []


def test_puts_may_label_their_commit(images, tmp_path):
    (tmp_path / "f").write_bytes(b"1")
    images.put_file("images@master:/a", b"1", labels={"by": "put"})
    assert images.inspect_commit("images@master").labels == {"by": "put"}
    images.put_dir("images@master:/d", tmp_path, labels={"by": "dir"})
    assert images.inspect_commit("images@master").labels == {"by": "dir"}
    images.start_commit("images@master", labels={"source": "x"})
    images.put_file("images@master:/a", b"2", append=True, labels={"by": "append"})
    assert images.finish_commit("images@master").labels == {"source": "x", "by": "append"}
    with pytest.raises(InvalidArgument, match="label"):
        images.put_file("images@master:/a", b"1", labels={"a=b": "c"})


def test_repos_have_labels(pfs):
    pfs.create_repo("a", labels={"team": "vision"})
    pfs.create_repo("b", labels={"team": "audio", "tier": "1"})
    pfs.create_repo("c")
    assert [repo.name for repo in pfs.list_repos(labels={"team": "audio"})] == ["b"]
    assert pfs.update_repo("b", labels={"team": "vision", "tier": None}).labels == {"team": "vision"}
    assert [repo.name for repo in pfs.list_repos(labels={"team": "vision"}, limit=1)] == ["a"]
    assert pfs.update_repo("b", "sounds").labels == {"team": "vision"}
    assert pfs.inspect_repo("b").description == "sounds"


@pytest.mark.parametrize(
    "labels", [{"": "x"}, {"a=b": "x"}, {" a": "x"}, {"a": 1}, {"a" * 129: "x"}, {"a": "x" * 5000}]
)
def test_labels_that_cannot_be_are_refused(images, labels):
    with pytest.raises(InvalidArgument, match="label"):
        images.start_commit("images@master", labels=labels)
    with pytest.raises(InvalidArgument, match="label"):
        images.update_repo("images", labels=labels)


def test_a_forgotten_commit_is_known_and_not_read(images, history):
    images.create_repo("edges")
    with images.commit("edges@master", provenance=[f"images@{history[1]}"]) as commit:
        commit.put_file("/e", b"")
    info = images.forget_commit(f"images@{history[1]}")
    assert (info.forgotten_by, info.tree, info.file_count, info.size_bytes) == ("user:ada", None, 1, 1)
    assert images.forget_commit(f"images@{history[1]}") == info
    document = read_mirror(images.store, history[1])
    assert (document["tree"], document["forgotten_by"]) == (None, "user:ada")
    for read in (images.get_file, images.list_file, images.walk_file):
        with pytest.raises(CommitForgotten, match=r"forgotten on 20.* by user:ada"):
            list(read(f"images@{history[1]}:/a" if read == images.get_file else f"images@{history[1]}:/"))
    with pytest.raises(CommitForgotten):
        list(images.diff_file(f"images@{history[2]}:/"))
    assert [one.id for one in images.provenance("edges@master")] == [history[1]]
    assert [one.id for one in images.list_commits("images@master")] == history[::-1]
    assert images.get_file("images@master:/a") == b"3"
    assert [diff.path for diff in images.diff_file(f"images@{history[2]}:/", f"images@{history[0]}:/")] == ["/a"]


def test_a_forgotten_commit_is_nobodys_beginning(images, history):
    images.forget_commit(f"images@{history[1]}")
    with pytest.raises(CommitForgotten):
        images.create_branch("images@old", head=f"images@{history[1]}")
    with pytest.raises(CommitForgotten):
        images.start_commit("images@fork", parent=f"images@{history[1]}")
    with pytest.raises(CommitForgotten, match="fall back"):
        images.drop_commit("images@master")
    assert images.get_file("images@master:/a") == b"3"
    images.squash_commit(f"images@{history[1]}")
    images.drop_commit("images@master")
    assert images.get_file("images@master:/a") == b"1"


def test_what_is_in_use_is_not_forgotten(images, history):
    images.create_branch("images@old", head=f"images@{history[0]}")
    with pytest.raises(HasDependents, match="images@old"):
        images.forget_commit(f"images@{history[0]}")
    images.start_commit("images@fork", parent=f"images@{history[1]}")
    with pytest.raises(CommitOpen, match=history[1]):
        images.forget_commit(f"images@{history[1]}")
    with pytest.raises(CommitOpen, match="pachy drop commit"):
        images.forget_commit("images@fork")


def test_what_a_job_reads_is_not_forgotten(images, history):
    from airflow_pachy.metadata.models import Job, JobInput
    from airflow_pachy.pfs.heads import utc_now

    reads = JobInput(position=0, name="images", repo="images", branch="master", commit=history[1])
    with images.metadata.session() as session:
        session.add(
            Job(
                id="j" * 32, pipeline="edges", dag_id="d", run_id="r", stage="edges", output_repo="edges",
                output_branch="master", state="running", started=utc_now(), inputs=[reads],
            )
        )  # fmt: skip
    with pytest.raises(Conflict, match="j" * 32):
        images.forget_commit(f"images@{history[1]}")


def test_a_database_that_is_rebuilt_knows_tags_labels_triggers_and_what_was_forgotten(tmp_path):
    storage = (tmp_path / "objects").as_uri()
    asked = ("images@v1.0", "images@master", "images@master^")
    with Pfs.open(storage, f"sqlite:///{tmp_path / 'a.db'}", principal="user:ada") as pfs:
        pfs.create_repo("images", labels={"team": "vision"})
        pfs.create_branch("images@released", trigger=Trigger("master", commits=2))
        for number in range(3):
            pfs.put_file("images@master:/a", str(number), labels={"number": str(number)})
        pfs.forget_commit("images@master^2")
        pfs.tag_commit("images@master", "v1.0")
        known = [pfs.inspect_commit(one) for one in (*asked, "images@master^2")]
        branches = sorted(pfs.list_branches("images"), key=str)
        repo, tags = pfs.inspect_repo("images"), pfs.list_tags("images")
    with Pfs.open(storage, f"sqlite:///{tmp_path / 'b.db'}") as pfs:
        pfs.fsck(rebuild=True)
        assert [pfs.inspect_commit(one) for one in (*asked, "images@master^2")] == known
        assert sorted(pfs.list_branches("images"), key=str) == branches
        assert (pfs.inspect_repo("images").labels, pfs.list_tags("images")) == (repo.labels, tags)
        assert pfs.get_file("images@v1.0:/a") == b"2"
        pfs.put_file("images@master:/a", b"3")
        assert pfs.inspect_branch("images@released").head == pfs.inspect_branch("images@master").head
