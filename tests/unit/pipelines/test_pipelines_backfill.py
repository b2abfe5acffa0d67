"""A job for each commit of a range, and states of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from airflow_pachy.errors import CommitNotFound, InvalidArgument, NothingNew, PipelineNotFound
from airflow_pachy.metadata.models import HeadMove
from airflow_pachy.pipelines import inspect_job
from airflow_pachy.pipelines.backfill import plan_backfill
from airflow_pachy.pipelines.lifecycle import create_pipeline

START = datetime(2024, 5, 1, 12, tzinfo=UTC)


def moved_at(pfs, branch, moment):
    """Let the head's last move have been then; returns the commit."""
    info = pfs.inspect_branch(branch)
    with pfs.metadata.session() as session:
        where = (HeadMove.repo == info.repo, HeadMove.branch == info.name, HeadMove.commit == info.head)
        session.execute(update(HeadMove).where(*where).values(moved=moment))
    return info.head


@pytest.fixture
def days(bench):
    """Five commits, one each day from the 1st of May; the pipeline has read the last alone. Returns their ids."""
    ids = []
    for number in range(5):
        bench.put(**{f"f{number}": str(number).encode()})
        ids.append(moved_at(bench.pfs, "images@master", START + timedelta(days=number)))
    bench.run(latest=False)
    return ids


def read(plan):
    return [step.commits["images@master"] for step in plan.steps]


def test_a_range_of_commits_has_both_ends(bench, days):
    plan = plan_backfill(bench.pfs, "edges", f"images@{days[1]}", "images@master^")
    assert read(plan) == days[1:4]
    assert plan.is_past
    assert read(plan_backfill(bench.pfs, "edges", f"images@{days[3]}")) == days[3:]
    assert read(plan_backfill(bench.pfs, "edges", None, "images@master.2")) == days[:2]
    assert not plan_backfill(bench.pfs, "edges", f"images@{days[3]}").is_past


def test_a_range_of_dates_takes_whole_days(bench, days):
    assert read(plan_backfill(bench.pfs, "edges", "2024-05-02", "2024-05-03")) == days[1:3]
    assert read(plan_backfill(bench.pfs, "edges", "2024-05-02T12:00:01", "2024-05-04T11:59:59+00:00")) == days[2:3]
    assert read(plan_backfill(bench.pfs, "edges", "2023-01-01", "2023-12-31")) == []


def test_what_a_job_has_published_is_left_out_unless_it_is_to_be_processed_again(bench, days):
    bench.run(commits={"images@master": days[2]})
    plan = plan_backfill(bench.pfs, "edges", f"images@{days[1]}")
    assert [step.commits["images@master"] for step in plan.to_run()] == [days[1], days[3]]
    assert len(plan.to_run(reprocess=True)) == 4


def test_each_step_is_a_job_that_reads_its_commit(bench, days):
    for step in plan_backfill(bench.pfs, "edges", "2024-05-01", "2024-05-03").to_run():
        bench.run(commits=step.commits)
        count = days.index(step.commits["images@master"]) + 1
        assert sorted(bench.output()) == [f"/f{number}" for number in range(count)]
    bench.run()
    assert len(bench.output()) == 5
    assert plan_backfill(bench.pfs, "edges", "2024-05-01", "2024-05-03").to_run() == []


def test_other_inputs_are_read_as_they_were_then(bench, days):
    bench.pfs.create_repo("labels")
    labels = []
    for number in (0, 2):
        bench.pfs.put_file("labels@master:/l", str(number).encode())
        labels.append(moved_at(bench.pfs, "labels@master", START + timedelta(days=number, hours=1)))
    cross = {"cross": [bench.document["input"], {"pfs": {"repo": "labels", "glob": "/"}}]}
    bench.document = {**bench.document, "input": cross, "on_collision": "overwrite"}
    bench.run()
    steps = plan_backfill(bench.pfs, "edges", f"images@{days[1]}", f"images@{days[3]}").steps
    assert [step.commits["images@master"] for step in steps] == days[1:4]
    assert [step.commits["labels@master"] for step in steps] == [labels[0], labels[0], labels[1]]
    dated = plan_backfill(bench.pfs, "edges", "2024-05-03", "2024-05-03").steps
    assert [tuple(step.commits.values()) for step in dated] == [(days[2], labels[0]), (days[2], labels[1])]


def test_ends_that_cannot_be(bench, days):
    with pytest.raises(PipelineNotFound):
        plan_backfill(bench.pfs, "nope", "2024-05-01")
    with pytest.raises(CommitNotFound):
        plan_backfill(bench.pfs, "edges", "images@master^9")
    bench.pfs.create_repo("other")
    bench.pfs.put_file("other@master:/x", b"x")
    with pytest.raises(InvalidArgument, match=r"never been given other@master: its inputs are images@master"):
        plan_backfill(bench.pfs, "edges", "other@master")


def test_a_pipeline_without_commits_has_nothing_to_run(bench):
    bench.pfs.create_branch("images@master")
    create_pipeline(bench.pfs, bench.spec())
    assert plan_backfill(bench.pfs, "edges", "2024-05-01").steps == ()


def test_a_job_as_of_a_moment_reads_what_there_was(bench, days):
    plan = bench.plan(as_of=START + timedelta(days=2, hours=3))
    assert [one.commit for one in inspect_job(bench.pfs, plan.job_id).inputs] == [days[2]]
    with pytest.raises(NothingNew, match="images@master had no commit by 2024-04-01"):
        bench.plan(as_of=datetime(2024, 4, 1, tzinfo=UTC))
