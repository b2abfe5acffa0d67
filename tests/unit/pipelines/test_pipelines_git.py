"""Git inputs, fed from a repository on this disk."""

import hashlib
import hmac
import os
from dataclasses import replace
from pathlib import Path

import pytest
from dulwich import porcelain
from dulwich.objects import S_IFGITLINK
from dulwich.repo import Repo

from airflow_pachy.errors import InvalidArgument, InvalidSpec, NotFound, Unavailable
from airflow_pachy.pipelines import PipelineSpec, list_datums
from airflow_pachy.pipelines.inputs import GitInput
from airflow_pachy.pipelines.inputs.fed import make_own_sources
from airflow_pachy.pipelines.inputs.git import fed_revision, feed_git, is_signed, poll_git, pushed_revision

AUTHOR = b"Ada <ada@example.org>"


class Origin:
    """A git repository to clone."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.repo = Repo.init(str(place), mkdir=True, default_branch=b"master")

    def commit(self, message="work", **files: bytes | None) -> str:
        for name, content in files.items():
            path = self.place / name.replace("__", "/").replace("_txt", ".txt")
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
        return self.save(message)

    def save(self, message: str) -> str:
        porcelain.add(str(self.place), [str(path) for path in self.place.rglob("*") if ".git" not in path.parts])
        gone = [path.decode() for path in self.repo.open_index() if not os.path.lexists(self.place / os.fsdecode(path))]
        if gone:
            porcelain.remove(str(self.place), [str(self.place / path) for path in gone])
        made = porcelain.commit(str(self.place), message=message.encode(), author=AUTHOR, committer=AUTHOR)
        return made.decode()


@pytest.fixture
def origin(tmp_path):
    return Origin(tmp_path / "project.git")


@pytest.fixture
def git(pfs, origin):
    node = GitInput(url=f"file://{origin.place}")
    make_own_sources(pfs, node)
    return node


def files(pfs):
    found = pfs.walk_file("project@master:/")
    return {one.path: pfs.get_file(f"project@master:{one.path}") for one in found if one.type == "file"}


def test_a_revision_becomes_a_commit(pfs, origin, git):
    revision = origin.commit("first words", a_txt=b"one", sub__b_txt=b"two")
    commit = feed_git(pfs, git, revision)
    assert files(pfs) == {"/a.txt": b"one", "/sub/b.txt": b"two"}
    assert pfs.inspect_branch("project@master").head == commit
    assert pfs.inspect_commit(f"project@{commit}").description == f"git {revision} first words"
    (datum,) = list_datums(pfs, git)
    assert [item.path for item in datum.inputs] == [""]


def test_polling_feeds_what_is_new(pfs, origin, git):
    origin.commit(a_txt=b"one")
    assert poll_git(pfs, git) is not None
    assert poll_git(pfs, git) is None
    newer = origin.commit(a_txt=b"changed", b_txt=b"more")
    assert poll_git(pfs, git) is not None
    assert fed_revision(pfs, git) == newer
    assert files(pfs) == {"/a.txt": b"changed", "/b.txt": b"more"}
    origin.commit(a_txt=None)
    poll_git(pfs, git)
    assert files(pfs) == {"/b.txt": b"more"}


def test_an_older_revision_can_be_fed(pfs, origin, git):
    first = origin.commit(a_txt=b"one")
    origin.commit(a_txt=b"two")
    feed_git(pfs, git, first)
    assert files(pfs) == {"/a.txt": b"one"}
    with pytest.raises(NotFound, match="has no commit 0123"):
        feed_git(pfs, git, "0123" * 10)


def test_links_and_modes_are_kept_in_spirit(pfs, origin, git):
    (origin.place / "run").write_bytes(b"#!/bin/sh")
    (origin.place / "run").chmod(0o755)
    (origin.place / "dir").mkdir()
    os.symlink("../run", origin.place / "dir" / "same")
    os.symlink("/etc/passwd", origin.place / "outside")
    origin.save("links")
    poll_git(pfs, git)
    assert files(pfs) == {"/run": b"#!/bin/sh", "/dir/same": b"#!/bin/sh"}
    (entry,) = [one for one in pfs.tree("project@master").entries() if one.path == "run"]
    assert entry.executable


def test_a_large_file_and_odd_names(pfs, origin, git):
    big = os.urandom(1 << 21)
    origin.commit(**{"big": big, "with [brackets] (and more)": b"1", "x": b"2"})
    poll_git(pfs, git)
    origin.commit(**{"with [brackets] (and more)": None})
    poll_git(pfs, git)
    assert files(pfs) == {"/big": big, "/x": b"2"}


def test_a_submodule_is_refused(pfs, origin, git):
    origin.commit(a_txt=b"1")
    index = origin.repo.open_index()
    index[b"vendor"] = replace(index[b"a.txt"], mode=S_IFGITLINK)
    index.write()
    porcelain.commit(str(origin.place), message=b"module", author=AUTHOR, committer=AUTHOR)
    with pytest.raises(InvalidArgument, match="vendor of the git tree is a submodule"):
        poll_git(pfs, git)
    assert pfs.inspect_branch("project@master").open_commit is None


def test_what_is_not_there_is_said(pfs, origin, tmp_path):
    origin.commit(a_txt=b"1")
    other = GitInput(url=f"file://{origin.place}", branch="none")
    make_own_sources(pfs, other)
    with pytest.raises(NotFound, match=r"has no branch 'none'; it has master"):
        poll_git(pfs, other)
    with pytest.raises((NotFound, Unavailable)):
        poll_git(pfs, GitInput(url=f"file://{tmp_path}/nowhere", name="project"))


def test_names_come_from_the_url():
    git = GitInput(URL="https://github.com/owner/project.git", branch="release/1.x")
    assert (git.name, git.leaf.repo, git.leaf.branch, git.leaf.glob) == ("project", "project", "release-1-x", "/")
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"image": "i", "cmd": ["c"]},
        "input": {"git": {"URL": "https://github.com/owner/project.git"}},
    }
    (read,) = PipelineSpec.parse(spec)
    assert read.on_collision == "append"
    assert PipelineSpec.parse(read.to_spec()) == [read]


@pytest.mark.parametrize(
    ("url", "words"),
    [("owner/project", "no URL to clone"), ("https://me:secret@github.com/a/b.git", "must not hold a password")],
)
def test_urls_that_cannot_be_used(url, words):
    with pytest.raises(InvalidSpec, match=words):
        list(list_datums(None, {"git": {"url": url}}))


def payload(**changed):
    return {
        "ref": "refs/heads/master",
        "after": "a" * 40,
        "repository": {"clone_url": "https://github.com/owner/project.git"},
        **changed,
    }


def test_a_push_is_recognised():
    git = GitInput(url="https://github.com/Owner/project")
    assert pushed_revision(payload(), git) == "a" * 40
    gitlab = {
        "object_kind": "push",
        "ref": "refs/heads/master",
        "checkout_sha": "b" * 40,
        "project": {"git_ssh_url": "git@github.com:owner/project.git"},
    }
    assert pushed_revision(gitlab, git) == "b" * 40
    assert pushed_revision(payload(ref="refs/heads/other"), git) is None
    assert pushed_revision(payload(ref="refs/tags/master"), git) is None
    assert pushed_revision(payload(after="0" * 40), git) is None
    assert pushed_revision(payload(deleted=True), git) is None
    assert pushed_revision(payload(repository={"clone_url": "https://github.com/other/project.git"}), git) is None
    assert pushed_revision({}, git) is None


def test_a_signature_is_checked():
    body = b'{"ref": 1}'
    good = "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    assert is_signed(body, "secret", good)
    assert not is_signed(body, "other", good)
    assert not is_signed(body, "secret", "")
