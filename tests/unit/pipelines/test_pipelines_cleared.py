"""A run that is cleared: what has failed goes on, what has published runs again as a further job."""

import pytest

from airflow_pachy.errors import Conflict, DatumFailed, NothingNew
from airflow_pachy.pipelines import PlanTry, assemble_job, inspect_job, list_jobs
from airflow_pachy.testing.pipelines import CodeFailed

CLEARED = PlanTry(2, "0002", cleared=1)
FIRST = PlanTry(1, "0001")
BEHIND = {"pipeline": {"name": "behind"}, "input": {"pfs": {"repo": "edges", "glob": "/*"}}}
BESIDE = {"pipeline": {"name": "beside"}}


def of_run(bench, run="run"):
    return [job.id for job in list_jobs(bench.pfs, run_id=run)]


def read(job):
    return [one.commit for one in job.inputs]


def test_a_cleared_run_processes_what_an_earlier_task_of_it_has_put(bench):
    bench.put(a=b"a")
    first = bench.run("run", task=FIRST)
    bench.put(a=b"a", b=b"b")
    plan = bench.plan("run", task=CLEARED)
    assert (plan.done, plan.total, plan.skipped, plan.to_run) == (False, 2, 1, 1)
    bench.process(plan)
    second = assemble_job(bench.pfs, plan.job_id)
    assert of_run(bench) == [second.id, first.id]
    assert (first.round, second.round) == (1, 2)
    assert bench.output() == {"/a": b"A", "/b": b"B"}
    assert [one.id for one in bench.pfs.list_commits("edges@master")] == [second.output_commit, first.output_commit]
    made = bench.pfs.inspect_commit(f"edges@{second.output_commit}")
    assert (made.job, made.provenance) == (second.id, tuple(f"images@{commit}" for commit in read(second)))
    assert inspect_job(bench.pfs, first.id) == first, "the old job stays as it was"


def test_a_cleared_run_whose_input_is_unchanged_skips_everything(bench):
    bench.put(a=b"a")
    first = bench.run("run", task=FIRST)
    second = bench.run("run", task=CLEARED)
    assert (second.datums_processed, second.datums_skipped) == (0, 1)
    assert (read(second), second.output_commit != first.output_commit) == (read(first), True)


def test_a_cleared_run_reprocesses_when_it_is_asked_to(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST)
    assert bench.run("run", task=CLEARED, reprocess=True).datums_processed == 1
    assert bench.plan("run", task=PlanTry(3, "0003", cleared=2), reprocess=True).to_run == 1


@pytest.mark.parametrize("late", [FIRST, PlanTry(1, "0001", cleared=1), PlanTry()])
def test_the_same_try_or_an_older_one_that_comes_late_makes_no_second_job(bench, late):
    bench.put(a=b"a")
    first = bench.run("run", task=FIRST)
    bench.put(b=b"b")
    plan = bench.plan("run", task=late)
    assert (plan.done, plan.job_id, of_run(bench)) == (True, first.id, [first.id])


def test_a_retry_after_a_crash_continues_the_job(bench):
    bench.put(a=b"a")
    before = bench.plan("run", task=FIRST)
    again = bench.plan("run", task=PlanTry(2, "0002"))
    assert (again.job_id, again.attempt, again.output_commit) == (before.job_id, 2, before.output_commit)


def test_a_retry_within_a_cleared_run_continues_the_further_job(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST)
    bench.put(b=b"b")
    before = bench.plan("run", task=CLEARED)
    bench.put(c=b"c")
    again = bench.plan("run", task=PlanTry(3, "0003", cleared=1))
    assert (again.job_id, again.attempt, again.total) == (before.job_id, 2, 2)


def test_a_try_that_was_replaced_cannot_plan_under_the_feet_of_its_successor(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST)
    plan = bench.plan("run", task=CLEARED)
    with pytest.raises(Conflict, match=r"planned by try 2 of its task, and this is try 1, which Airflow has given up"):
        bench.plan("run", task=FIRST)
    bench.process(plan)
    job = assemble_job(bench.pfs, plan.job_id)
    assert (job.state, job.attempt) == ("success", 1)
    assert bench.plan("run", task=FIRST).job_id == job.id


def test_a_run_that_was_deleted_and_started_again_under_its_name_runs(bench):
    bench.put(a=b"a")
    first = bench.run("run", task=PlanTry(3, "0003"))
    second = bench.run("run", task=PlanTry(1, "0004"))
    assert of_run(bench) == [second.id, first.id]


def test_a_job_that_failed_is_continued_by_a_cleared_run_on_its_own_commits(bench):
    def code(inputs):
        raise CodeFailed("not yet")

    bench.put(a=b"a")
    plan = bench.plan("run", task=FIRST)
    bench.process(plan, code)
    with pytest.raises(DatumFailed):
        assemble_job(bench.pfs, plan.job_id)
    bench.put(b=b"b")
    again = bench.plan("run", task=CLEARED)
    assert (again.job_id, again.attempt, again.total) == (plan.job_id, 2, 1)


def test_stages_of_a_cleared_run_read_what_it_publishes_now(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST)
    bench.run("run", stage="behind", spec=BEHIND, task=FIRST)
    bench.put(b=b"b")
    second = bench.run("run", task=CLEARED)
    # Another run is faster, and its work is not this run's.
    bench.put(c=b"c")
    bench.run("other run")
    behind = bench.run("run", stage="behind", spec=BEHIND, task=CLEARED)
    assert read(behind) == [second.output_commit]
    assert bench.output("behind@master") == {"/a": b"A", "/b": b"B"}


def test_stages_of_a_cleared_run_read_one_version_of_a_branch(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST)
    bench.run("run", stage="beside", spec=BESIDE, task=FIRST)
    bench.put(b=b"b")
    again = bench.run("run", task=CLEARED)
    bench.put(c=b"c")
    beside = bench.run("run", stage="beside", spec=BESIDE, task=CLEARED)
    assert read(beside) == read(again)
    assert beside.datums_total == 2


def test_clearing_the_first_stage_only_is_seen_by_a_later_one_that_is_continued(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST)
    before = bench.plan("run", stage="behind", spec=BEHIND, task=FIRST)
    bench.put(b=b"b")
    second = bench.run("run", task=PlanTry(2, "0002", cleared=1))
    after = bench.run("run", stage="behind", spec=BEHIND, task=PlanTry(2, "0002", cleared=1))
    assert (after.id, read(after)) == (before.job_id, [second.output_commit])


def test_a_stage_that_had_not_begun_reads_what_its_run_published_before_the_clear(bench):
    bench.put(a=b"a")
    first = bench.run("run", task=FIRST)
    bench.put(b=b"b")
    bench.run("other run")
    behind = bench.run("run", stage="behind", spec=BEHIND, task=PlanTry(1, "0001", cleared=1))
    assert read(behind) == [first.output_commit]


def test_clearing_an_old_run_does_not_bring_back_old_data(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST, latest=False)
    bench.put(a=b"new")
    bench.run("next run", latest=False)
    bench.run("run", task=CLEARED, latest=False)
    assert bench.output() == {"/a": b"NEW"}


def test_a_cleared_run_takes_its_turn_in_the_queue(bench):
    bench.put(a=b"a")
    bench.run("run", task=FIRST, latest=False)
    bench.put(b=b"b")
    bench.put(c=b"c")
    plan = bench.plan("run", task=CLEARED, latest=False)
    assert (plan.total, plan.more) == (2, True)
    bench.process(plan)
    assemble_job(bench.pfs, plan.job_id)
    assert bench.plan("next run", latest=False).total == 3


def test_a_cleared_run_keeps_to_the_commits_that_were_chosen_for_it(bench):
    bench.put(a=b"a")
    chosen = {"images@master": bench.pfs.inspect_branch("images@master").head}
    first = bench.run("run", task=FIRST, commits=chosen)
    bench.put(b=b"b")
    assert read(bench.run("run", task=CLEARED, commits=chosen)) == read(first)


@pytest.mark.parametrize("latest", [False, True])
def test_a_cleared_run_is_wanted_though_no_commit_is_new(bench, latest):
    bench.put(a=b"a")
    first = bench.run("run", task=FIRST, latest=latest, new_only=True)
    with pytest.raises(NothingNew):
        bench.plan("next run", latest=latest, new_only=True)
    second = bench.run("run", task=CLEARED, latest=latest, new_only=True, spec={"code_version": "2"})
    assert (read(second), second.datums_processed) == (read(first), 1)


def test_a_run_cleared_while_it_runs_and_not_counted_reads_anew(bench):
    bench.put(a=b"a")
    bench.run("run", stage="beside", spec=BESIDE, task=FIRST)
    bench.run("run", task=FIRST)
    bench.put(b=b"b")
    again = bench.run("run", task=PlanTry(2, "0002"))
    assert again.datums_total == 2
    assert read(bench.run("run", stage="beside", spec=BESIDE, task=PlanTry(2, "0002"))) == read(again)
