"""Garbage collection beside writers that are slow, killed or faulty: whatever was published stays readable, bit by bit.

Any operation may be interrupted at any of its requests to the store, by other writers, by another garbage collection or
by days that pass (fewer than the grace while one operation lasts), may see its requests fail, and may die. All
this happens in one thread, so hypothesis can repeat and shrink it. Beside it, a dict says what must be there.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_pachy.errors import PachyError
from airflow_pachy.metadata import Metadata
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.objects.memory import MemoryStore
from airflow_pachy.pfs.root import Root
from airflow_pachy.pfs.tree.cache import shared as node_cache
from airflow_pachy.testing.faulty_store import Died, Fault, FaultyStore
from airflow_pachy.testing.interrupted_store import InterruptedStore
from airflow_pachy.testing.time_travel import AgeingStore, pass_time

GRACE = timedelta(days=7)
LARGE = (b"large one " * 110_000)[: 1 << 20]
# Inline, in a pack, and large enough to be found by other repos' writers.
CONTENTS = {"tiny": b"x", "small": b"y" * 600, "other": b"z" * 900, "large": LARGE, "reversed": LARGE[::-1]}
DATA = st.sampled_from(sorted(CONTENTS))
REPOS = st.sampled_from(["one", "two"])
PATHS = st.sampled_from(["a", "b", "d/c"])
FAULTS = st.one_of(
    st.none(),
    st.none(),
    st.tuples(
        st.sampled_from(["get", "put", "delete", "list"]),
        st.sampled_from(["unavailable", "lost answer", "dead", "truncated"]),
        st.integers(1, 12),
    ),
)

ACTIONS = st.one_of(
    st.tuples(st.just("put"), REPOS, PATHS, DATA),
    st.tuples(st.just("copy"), REPOS, REPOS),
    st.tuples(st.just("delete"), REPOS, PATHS),
    st.tuples(st.just("block"), REPOS, st.lists(st.tuples(PATHS, DATA), max_size=3)),
    st.tuples(st.just("drop"), REPOS),
    st.tuples(st.just("squash"), REPOS),
    st.tuples(st.just("forget"), REPOS, st.integers(1, 2)),
    st.tuples(st.just("remake"), REPOS),
    st.tuples(st.just("gc")),
    st.tuples(st.just("days"), st.integers(1, 4)),
)
# Before which of its requests an operation is interrupted, by what: anything, or the worst that can happen.
WORST = st.tuples(st.just("lose"), REPOS)
INTERRUPTIONS = st.lists(st.tuples(st.integers(0, 9), st.one_of(WORST, ACTIONS)), max_size=2)


class GcLosesNothing(RuleBasedStateMachine):
    @initialize()
    def open(self):
        self.home = tempfile.TemporaryDirectory()
        self.aged = AgeingStore(MemoryStore())
        self.faulty = FaultyStore(self.aged)
        self.store = InterruptedStore(self.faulty)
        self.metadata = Metadata.open(f"sqlite:///{Path(self.home.name) / 'pachy.db'}")
        self.metadata.ensure_ready()
        ensure_format(self.aged)
        self.restart()
        self.known: dict[str, dict[str, bytes]] = {}
        self.lasting = timedelta(0)
        for repo in ("one", "two"):
            self.pfs.create_repo(repo)
            self.pfs.put_file(f"{repo}@master:/a", CONTENTS["small"])
            self.pfs.put_file(f"{repo}@master:/b", CONTENTS["large"] + repo.encode())
        pass_time(self.aged, self.metadata, GRACE + timedelta(days=1))

    def restart(self):
        """As another process would begin: nothing is cached, and the fault is over."""
        self.faulty.faults = []
        self.faulty._dead = False
        node_cache.clear()
        self.pfs = Pfs(Root(self.store, self.metadata, ContentReader(self.store)))

    def teardown(self):
        if hasattr(self, "pfs"):
            self.metadata.close()
            self.home.cleanup()

    @rule(action=ACTIONS, interruptions=INTERRUPTIONS, fault=FAULTS)
    def happens(self, action, interruptions, fault):
        self.interrupted(action, interruptions, fault)

    def interrupted(self, action, interruptions, fault):
        self.store.calls, self.lasting = 0, timedelta(0)
        self.store.coming = {place: lambda one=one: self.act(one, within=True) for place, one in interruptions}
        if fault is not None:
            verb, kind, on = fault
            self.faulty.faults = [Fault(verb, kind, on)]
            self.faulty._met.clear()
        self.act(action)
        self.store.coming = {}
        self.restart()

    @rule(source=REPOS, goal=REPOS, place=st.integers(0, 4))
    def a_copy_is_overtaken(self, source, goal, place):
        self.do_days(self.pfs, 4, within=False)
        self.interrupted(("copy", source, goal), [(place, ("lose", source))], None)

    def act(self, action, within=False):
        """Do it as a process of its own; what goes wrong must leave everything as it was."""
        name, *args = action
        client = Pfs(Root(self.store, self.metadata, ContentReader(self.store))) if within else self.pfs
        with suppress(PachyError, Died):
            getattr(self, f"do_{name}")(client, *args, *([within] if name == "days" else []))

    def do_put(self, pfs, repo, path, data):
        pfs.put_file(f"{repo}@master:/{path}", CONTENTS[data])

    def do_copy(self, pfs, source, target):
        pfs.copy_file(f"{source}@master:/", f"{target}@master:/copy")

    def do_delete(self, pfs, repo, path):
        pfs.delete_file(f"{repo}@master:/{path}")

    def do_block(self, pfs, repo, batch):
        with pfs.commit(f"{repo}@master") as commit:
            for path, data in batch:
                commit.put_file(path, CONTENTS[data])

    def do_drop(self, pfs, repo):
        pfs.drop_commit(f"{repo}@master")

    def do_squash(self, pfs, repo):
        pfs.squash_commit(f"{repo}@master^")

    def do_forget(self, pfs, repo, keep):
        pfs.gc(dry_run=False, grace=GRACE, keep_last=keep)

    def do_remake(self, pfs, repo):
        pfs.delete_repo(repo, force=True)
        pfs.create_repo(repo)

    def do_lose(self, pfs, repo):
        self.do_remake(pfs, repo)
        self.do_gc(pfs)

    def do_gc(self, pfs):
        pfs.gc(dry_run=False, grace=GRACE)

    def do_days(self, pfs, days, within):
        time = timedelta(days=days)
        # Between operations as much as you like; within one, no writer takes longer than the grace.
        if not within:
            time *= 3
        elif self.lasting + time >= GRACE:
            return
        else:
            self.lasting += time
        pass_time(self.aged, self.metadata, time)

    @invariant()
    def every_commit_can_be_read_and_stays_the_same(self):
        if not hasattr(self, "pfs"):
            return
        plain = Pfs(Root(self.aged, self.metadata, ContentReader(self.aged)))
        node_cache.clear()
        there = {}
        for repo in plain.list_repos():
            for branch in plain.list_branches(repo.name):
                if branch.head is None:
                    continue
                for commit in plain.list_commits(f"{repo.name}@{branch.head}"):
                    if commit.state == "finished" and not commit.forgotten:
                        files = list(plain.walk_file(f"{repo.name}@{commit.id}:/"))
                        there[commit.id] = {
                            info.path: plain.get_file(f"{repo.name}@{commit.id}:{info.path}")
                            for info in files
                            if not info.is_dir
                        }
        for commit_id, files in there.items():
            assert self.known.setdefault(commit_id, files) == files
        self.known = there

    @rule()
    def what_nobody_needs_is_gone_in_the_end(self):
        """After two graces and a collection, the bucket holds what commits need and nothing else."""
        for _ in range(2):
            pass_time(self.aged, self.metadata, GRACE + timedelta(days=1))
            self.pfs.gc(dry_run=False, grace=GRACE)
        report = self.pfs.gc(grace=timedelta(0))
        assert report.objects("waiting") == 0
        dead = {one.kind for one in report.usage if one.fate == "condemned"}
        assert dead <= {"gc"}


GcLosesNothing.TestCase.settings = settings(
    max_examples=int(os.environ.get("PACHY_TEST_EXAMPLES", "12")),
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestGcLosesNothing = GcLosesNothing.TestCase
