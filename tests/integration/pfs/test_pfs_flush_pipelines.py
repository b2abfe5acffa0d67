"""Commits and what pipelines make of them: one commit downstream for each one upstream, and waiting for it."""

from __future__ import annotations

import pytest

from airflow_pachy.errors import DatumFailed, JobFailed, NothingNew
from airflow_pachy.pfs import Pfs, Trigger
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, plan_job
from airflow_pachy.testing.pipelines import CodeFailed, InProcessRunner


def copied(inputs):
    """One file that holds what all inputs held."""
    return {"all": b"|".join(content for files in inputs.values() for _, content in sorted(files.items()))}


def broken(inputs):
    raise CodeFailed("no such colour")


class Stages:
    """Pipelines by name, each of one datum; `drain` runs one until no commit is left to it."""

    def __init__(self, pfs):
        self.pfs = pfs
        self.runs = 0

    def spec(self, name, *inputs):
        leaves = [{"pfs": {"repo": repo, "glob": "/"}} for repo in inputs]
        node = leaves[0] if len(leaves) == 1 else {"cross": leaves}
        return PipelineSpec.from_dict(
            {"pipeline": {"name": name}, "transform": {"image": "i", "cmd": ["c"]}, "input": node}
        )

    def run(self, name, *inputs, code=copied, run=None):
        self.runs += 1
        request = JobRequest(
            self.spec(name, *inputs), name, run or f"run{self.runs}", name, latest=False, new_only=True
        )
        plan = plan_job(self.pfs, request)
        InProcessRunner(self.pfs, code).run(plan, attempt=f"{self.runs:04}")
        assemble_job(self.pfs, plan.job_id)
        return plan

    def drain(self, name, *inputs):
        count = 0
        while True:
            try:
                self.run(name, *inputs)
            except NothingNew:
                return count
            count += 1


@pytest.fixture
def pfs(tmp_path):
    with Pfs.open("memory://", f"sqlite:///{tmp_path / 'pachy.db'}") as client:
        client.create_repo("images")
        yield client


@pytest.fixture
def stages(pfs):
    return Stages(pfs)


def put(pfs, number, branch="master"):
    pfs.put_file(f"images@{branch}:/a", str(number))
    return str(pfs.inspect_commit(f"images@{branch}"))


def flushed(pfs, *commits, **options):
    return [(info.repo, info.id) for info in pfs.flush_commit(list(commits), timeout=0, **options)]


def downstream(pfs, commit):
    return sorted((info.repo, info.id) for info in pfs.subvenance(commit))


def test_each_commit_makes_one_commit_on_each_branch_downstream_also_in_a_diamond(pfs, stages):
    first = put(pfs, 1)
    stages.run("edges", "images")
    stages.run("montage", "edges", "images")
    commits = [first, put(pfs, 2), put(pfs, 3)]
    with pytest.raises(TimeoutError, match="edges@master, montage@master"):
        flushed(pfs, commits[-1])
    assert stages.drain("edges", "images") == 2
    assert stages.drain("montage", "edges", "images") == 2
    for number, commit in enumerate(commits, 1):
        made = flushed(pfs, commit)
        assert [repo for repo, _ in made] == ["edges", "montage"]
        assert sorted(made) == downstream(pfs, commit)
        assert pfs.get_file(f"montage@{made[1][1]}:/all") == b"%d|%d" % (number, number)
    assert len(list(pfs.list_commits("montage@master"))) == 3


def test_who_comes_late_begins_with_the_head(pfs, stages):
    for number in range(3):
        last = put(pfs, number)
    assert stages.drain("edges", "images") == 1
    assert flushed(pfs, last) == downstream(pfs, last)
    late = put(pfs, 9)
    assert stages.drain("edges", "images") == 1
    assert len(flushed(pfs, late)) == 1


def test_moving_a_branch_runs_what_reads_it_and_following_does_too(pfs, stages):
    put(pfs, 0)
    stages.drain("edges", "images")
    pfs.create_branch("images@master", trigger=Trigger("staging", commits=2))
    staged = [put(pfs, number, "staging") for number in range(4)]
    assert flushed(pfs, staged[0]) == []
    assert stages.drain("edges", "images") == 2
    assert [len(flushed(pfs, commit)) for commit in staged] == [0, 1, 0, 1]
    pfs.create_branch("images@master", head=staged[0])
    assert stages.drain("edges", "images") == 1
    assert pfs.get_file("edges@master:/all") == b"0"


def test_a_job_that_fails_ends_the_wait_until_it_is_run_again(pfs, stages):
    put(pfs, 0)
    stages.run("edges", "images")
    stages.run("montage", "edges")
    commit = put(pfs, 1)
    with pytest.raises(DatumFailed):
        stages.run("edges", "images", code=broken, run="bad")
    with pytest.raises(JobFailed, match=r"pipeline 'edges'.*no such colour"):
        flushed(pfs, commit)
    with pytest.raises(JobFailed, match="pipeline 'edges'"):
        flushed(pfs, commit, to_repos=["montage"])
    stages.run("edges", "images", run="bad")
    assert [repo for repo, _ in flushed(pfs, commit, to_repos=["edges"])] == ["edges"]
    with pytest.raises(TimeoutError, match="montage@master"):
        flushed(pfs, commit)
    stages.drain("montage", "edges")
    assert sorted(flushed(pfs, commit)) == downstream(pfs, commit)
