"""A state machine over history: putting, moving, triggers, tags, taking commits out, forgetting, failing transactions.

The model is a dict of commits and a dict of heads. Whatever happens, parents, children, contents, heads, the copies in
the bucket and what is refused must be as the model says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_pachy.errors import CommitForgotten, HasDependents, NotFound
from airflow_pachy.pfs import Pfs, Trigger
from airflow_pachy.pfs.mirror import read_mirror

PATHS = st.sampled_from(["a", "b", "c"])
WRITTEN = st.sampled_from(["master", "dev", "second"])
INDEXES = st.integers(min_value=0, max_value=30)
# `second` follows every second commit of master, `last` whatever second does.
FOLLOWERS = {"master": "second", "second": "last"}


@dataclass(frozen=True)
class Modelled:
    parent: str | None
    files: tuple[tuple[str, bytes], ...]
    tag: str | None = None
    forgotten: bool = False


@dataclass
class Model:
    commits: dict[str, Modelled] = field(default_factory=dict)
    heads: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(["master", "dev", "second", "last"]))

    def copy(self):
        return Model(dict(self.commits), dict(self.heads))

    def children(self, commit):
        return [one for one, known in self.commits.items() if known.parent == commit]

    def move(self, branch, commit):
        self.heads[branch] = commit
        follower = FOLLOWERS.get(branch)
        if follower and self.heads[follower] != commit and self.fires(follower, commit):
            self.move(follower, commit)

    def fires(self, follower, commit):
        if follower == "last":
            return True
        count, here = 0, commit
        while here is not None and here != self.heads[follower]:
            count, here = count + 1, self.commits[here].parent
        return count >= 2

    def remove(self, commit):
        """Take a commit out; raises `CommitForgotten` if a branch would be left without data."""
        parent = self.commits.pop(commit).parent
        for child in [one for one, known in self.commits.items() if known.parent == commit]:
            self.commits[child] = replace(self.commits[child], parent=parent)
        for branch, head in self.heads.items():
            if head == commit:
                self.heads[branch] = parent
                if parent and self.commits[parent].forgotten:
                    raise CommitForgotten(parent)


class HistoryAgainstModel(RuleBasedStateMachine):
    @initialize()
    def open(self):
        self.pfs = Pfs.open("memory://", "sqlite://")
        self.pfs.create_repo("r")
        self.pfs.create_branch("r@second", trigger=Trigger("master", commits=2))
        self.pfs.create_branch("r@last", trigger=Trigger("second", all=True))
        for branch in ("master", "dev"):
            self.pfs.create_branch(f"r@{branch}")
        self.model = Model()
        self.tags = 0

    def teardown(self):
        if hasattr(self, "pfs"):
            self.pfs.close()

    def chosen(self, index):
        # In the order in which they were made: ids are random, and a replay must choose the same ones.
        ids = list(self.model.commits)
        return ids[index % len(ids)]

    @rule(branch=WRITTEN, path=PATHS, data=st.binary(max_size=2))
    def put(self, branch, path, data):
        self.pfs.put_file(f"r@{branch}:/{path}", data)
        head = self.model.heads[branch]
        files = dict(self.model.commits[head].files) if head else {}
        commit = self.pfs.inspect_commit(self.pfs.inspect_branch(f"r@{branch}").head)
        self.model.commits[commit.id] = Modelled(head, tuple(sorted({**files, path: data}.items())))
        self.model.move(branch, commit.id)

    @precondition(lambda self: self.model.commits)
    @rule(branch=WRITTEN, index=INDEXES)
    def move_a_branch(self, branch, index):
        commit = self.chosen(index)
        if self.model.commits[commit].forgotten:
            with pytest.raises(CommitForgotten):
                self.pfs.create_branch(f"r@{branch}", head=f"r@{commit}")
            return
        self.pfs.create_branch(f"r@{branch}", head=f"r@{commit}")
        if self.model.heads[branch] != commit:
            self.model.move(branch, commit)

    @precondition(lambda self: self.model.commits)
    @rule(index=INDEXES, how=st.sampled_from(["drop", "squash", "delete"]))
    def take_out(self, index, how):
        commit = self.chosen(index)
        verb = getattr(self.pfs, f"{how}_commit")
        children = self.model.children(commit)
        if self.model.commits[commit].tag or (how == "drop" and children) or (how == "squash" and not children):
            with pytest.raises(HasDependents):
                verb(f"r@{commit}")
            return
        after = self.model.copy()
        try:
            after.remove(commit)
        except CommitForgotten:
            with pytest.raises(CommitForgotten):
                verb(f"r@{commit}")
            return
        verb(f"r@{commit}")
        self.model = after

    @precondition(lambda self: self.model.commits)
    @rule(index=INDEXES)
    def forget(self, index):
        commit = self.chosen(index)
        if self.model.commits[commit].tag or commit in self.model.heads.values():
            with pytest.raises(HasDependents):
                self.pfs.forget_commit(f"r@{commit}")
            return
        self.pfs.forget_commit(f"r@{commit}")
        self.model.commits[commit] = replace(self.model.commits[commit], forgotten=True)

    @precondition(lambda self: self.model.commits)
    @rule(index=INDEXES)
    def tag_or_untag(self, index):
        commit = self.chosen(index)
        name = self.model.commits[commit].tag
        if name:
            self.pfs.delete_tag(f"r@{name}")
            self.model.commits[commit] = replace(self.model.commits[commit], tag=None)
            return
        self.tags += 1
        if self.model.commits[commit].forgotten:
            with pytest.raises(CommitForgotten):
                self.pfs.tag_commit(f"r@{commit}", f"v1.{self.tags}")
            return
        self.pfs.tag_commit(f"r@{commit}", f"v1.{self.tags}")
        self.model.commits[commit] = replace(self.model.commits[commit], tag=f"v1.{self.tags}")

    @precondition(lambda self: self.model.commits)
    @rule(branch=WRITTEN, index=INDEXES, path=PATHS)
    def fail_in_a_transaction(self, branch, index, path):
        commit = self.chosen(index)

        def work():
            with self.pfs.transaction():
                self.pfs.put_file(f"r@{branch}:/{path}", b"never")
                self.pfs.tag_commit(f"r@{branch}", "never")
                for verb in (self.pfs.squash_commit, self.pfs.forget_commit):
                    try:
                        verb(f"r@{commit}")
                    except (HasDependents, NotFound):
                        continue
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def heads_agree(self):
        assert {branch.name: branch.head for branch in self.pfs.list_branches("r")} == self.model.heads

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def commits_agree(self):
        for commit, known in self.model.commits.items():
            info = self.pfs.inspect_commit(f"r@{commit}")
            assert info.parent == (f"r@{known.parent}" if known.parent else None)
            assert {one.partition("@")[2] for one in info.children} == set(self.model.children(commit))
            assert info.tags == ((known.tag,) if known.tag else ())
            self.check_files(known.tag or commit, known)
            document = read_mirror(self.pfs.store, commit)
            assert (document["parent"], [tag["name"] for tag in document["tags"]]) == (known.parent, list(info.tags))
            assert (document["forgotten"] is not None, document["tree"]) == (known.forgotten, info.tree)
        copies = {one.key.rpartition("/")[2].removesuffix(".json") for one in self.pfs.store.list_keys("commits/")}
        assert copies == set(self.model.commits)

    def check_files(self, name, known):
        if known.forgotten:
            with pytest.raises(CommitForgotten):
                list(self.pfs.list_file(f"r@{name}:/"))
            return
        found = {
            info.path[1:]: self.pfs.get_file(f"r@{name}:{info.path}") for info in self.pfs.list_file(f"r@{name}:/")
        }
        assert found == dict(known.files)


HistoryAgainstModel.TestCase.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistoryAgainstModel = HistoryAgainstModel.TestCase
