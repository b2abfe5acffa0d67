"""A state machine: whatever is done through `Pfs`, a dict of dicts does too, and both must agree.

Also the invariant that a tree does not depend on its history: the same files have the same root identity.
"""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from airflow_pachy.errors import PathConflict
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.tree import Tree
from airflow_pachy.pfs.tree.entries import Put

SEGMENTS = st.sampled_from(["a", "b", "a.b", "é", "[x]*"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
# On both sides of what is kept inline.
DATA = st.sampled_from([b"", b"x", b"yy", b"z" * 600])
BRANCHES = st.sampled_from(["master", "dev"])


def covers(path: str, other: str) -> bool:
    return other == path or other.startswith(f"{path}/") or path == ""


def conflicts(files: dict[str, bytes], path: str) -> bool:
    return any(one != path and (covers(one, path) or covers(path, one)) for one in files)


class PfsAgainstDict(RuleBasedStateMachine):
    commits = Bundle("commits")

    @initialize()
    def open(self):
        self.pfs = Pfs.open("memory://", "sqlite://")
        self.pfs.create_repo("r")
        self.heads: dict[str, dict[str, bytes] | None] = {"master": None, "dev": None}
        self.opened: dict[str, dict[str, bytes]] = {}
        self.roots: dict[frozenset[tuple[str, bytes]], str] = {}

    def teardown(self):
        if hasattr(self, "pfs"):
            self.pfs.close()

    def files(self, branch):
        """What the branch holds for writing: a copy."""
        return dict(self.opened.get(branch, self.heads[branch] or {}))

    def keep(self, branch, files):
        if branch in self.opened:
            self.opened[branch] = files
        else:
            self.heads[branch] = files

    @rule(branch=BRANCHES, path=PATHS, data=DATA, append=st.booleans())
    def put(self, branch, path, data, append):
        files = self.files(branch)
        if conflicts(files, path):
            with pytest.raises(PathConflict):
                self.pfs.put_file(f"r@{branch}:/{path}", data, append=append)
            return
        self.pfs.put_file(f"r@{branch}:/{path}", data, append=append)
        files[path] = files.get(path, b"") + data if append else data
        self.keep(branch, files)

    @rule(branch=BRANCHES, batch=st.lists(st.tuples(PATHS, DATA), max_size=6))
    def put_in_a_block(self, branch, batch):
        if branch in self.opened:
            return
        files = self.files(branch)
        with self.pfs.commit(f"r@{branch}") as commit:
            for path, data in batch:
                if conflicts(files, path):
                    with pytest.raises(PathConflict):
                        commit.put_file(path, data)
                else:
                    commit.put_file(path, data)
                    files[path] = data
        self.heads[branch] = files

    @rule(branch=BRANCHES, path=st.one_of(PATHS, st.just("")))
    def delete(self, branch, path):
        files = self.files(branch)
        if path == "[x]*" and not any(covers(path, one) for one in files):
            return  # then it is a glob
        kept = {one: data for one, data in files.items() if not covers(path, one)}
        if "[x]*" in path and len(kept) == len(files):
            return
        self.pfs.delete_file(f"r@{branch}:/{path}")
        if kept != files or branch in self.opened:
            self.keep(branch, kept)

    @rule(source=BRANCHES, goal=BRANCHES, path=PATHS, to=PATHS)
    def copy(self, source, goal, path, to):
        origin, files = self.files(source), self.files(goal)
        found = {one: data for one, data in origin.items() if covers(path, one)}
        if not found or self.missing(source):
            return
        if any(covers(one, to) and one != to for one in files) or (to in files and found.keys() != {path}):
            with pytest.raises(PathConflict):
                self.pfs.copy_file(f"r@{source}:/{path}", f"r@{goal}:/{to}")
            return
        self.pfs.copy_file(f"r@{source}:/{path}", f"r@{goal}:/{to}")
        files = {one: data for one, data in files.items() if not covers(to, one)}
        files.update({to + one[len(path) :]: data for one, data in found.items()})
        self.keep(goal, files)

    @rule(branch=BRANCHES)
    def start(self, branch):
        if branch not in self.opened:
            self.pfs.start_commit(f"r@{branch}")
            self.opened[branch] = dict(self.heads[branch] or {})

    @rule(branch=BRANCHES, target=commits)
    def finish(self, branch):
        if branch not in self.opened:
            return multiple()
        info = self.pfs.finish_commit(f"r@{branch}")
        files = self.heads[branch] = self.opened.pop(branch)
        return (info.id, dict(files))

    @rule(branch=BRANCHES)
    def drop(self, branch):
        if branch in self.opened:
            self.pfs.drop_commit(f"r@{branch}")
            del self.opened[branch]

    @rule(branch=BRANCHES, commit=commits)
    def move_branch(self, branch, commit):
        commit_id, files = commit
        if branch not in self.opened:
            self.pfs.create_branch(f"r@{branch}", head=f"r@{commit_id}")
            self.heads[branch] = dict(files)

    @rule(commit=commits)
    def finished_commits_never_change(self, commit):
        commit_id, files = commit
        assert self.read(f"r@{commit_id}") == files

    @precondition(lambda self: hasattr(self, "pfs"))
    @invariant()
    def branches_agree(self):
        for branch in self.heads:
            if not self.missing(branch):
                files = self.files(branch)
                assert self.read(f"r@{branch}") == files
                self.check_root(branch, files)

    def missing(self, branch):
        return self.heads[branch] is None and branch not in self.opened

    def read(self, commit):
        infos = [info for info in self.pfs.walk_file(f"{commit}:/") if not info.is_dir]
        return {info.path[1:]: self.pfs.get_file(f"{commit}:{info.path}") for info in infos}

    def check_root(self, branch, files):
        tree = self.pfs.tree(f"r@{branch}")
        fresh = Tree(self.pfs.store, None).apply(Put(entry) for entry in tree.entries())
        assert (tree.root.id if tree.root else None) == (fresh.root.id if fresh.root else None)
        assert (len(tree), tree.size_bytes) == (len(files), sum(map(len, files.values())))


PfsAgainstDict.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestPfsAgainstDict = PfsAgainstDict.TestCase
