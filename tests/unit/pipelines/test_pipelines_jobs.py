"""What happens from a commit on the input to a commit on the output, with the real planner and assembly."""

import pytest

from airflow_pachy.errors import Conflict, DatumFailed, JobFailed, JobNotFound
from airflow_pachy.pipelines import (
    assemble_job,
    fail_job,
    inspect_job,
    list_job_datums,
    list_jobs,
    stop_job,
)
from airflow_pachy.testing.pipelines import CodeFailed, CodeRecovered, InProcessRunner


def states(bench, job_id):
    return {one.inputs[0][1]: (one.state, one.reason) for one in list_job_datums(bench.pfs, job_id)}


def fails_on(*bad):
    def code(inputs):
        ((path, content),) = inputs["images"].items()
        if path in bad:
            raise CodeFailed(f"cannot read {path}")
        return {path: content.upper()}

    return code


def test_the_first_job_processes_everything(bench):
    bench.put(a=b"a", b=b"b")
    job = bench.run()
    assert (job.state, job.datums_total, job.datums_processed, job.datums_skipped) == ("success", 2, 2, 0)
    assert bench.output() == {"/a": b"A", "/b": b"B"}
    assert states(bench, job.id) == {"/a": ("success", "new"), "/b": ("success", "new")}


def test_the_output_commit_knows_where_it_comes_from(bench):
    bench.put(a=b"a")
    job = bench.run()
    commit = bench.pfs.inspect_commit(f"edges@{job.output_commit}")
    head = bench.pfs.inspect_branch("images@master").head
    assert commit.provenance == (f"images@{head}",)
    assert (commit.origin, commit.job, commit.state) == ("auto", job.id, "finished")
    assert bench.pfs.inspect_branch("edges@master").provenance == ("images@master",)


def test_only_changed_and_new_datums_run_again(bench):
    bench.put(a=b"a", b=b"b", c=b"c")
    first = bench.run()
    with bench.pfs.commit("images@master") as commit:
        commit.put_file("/a", b"other")
        commit.put_file("/d", b"d")
        commit.delete_file("/c")
    plan = bench.plan()
    assert (plan.total, plan.skipped, plan.to_run) == (3, 1, 2)
    bench.process(plan)
    second = assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/a": b"OTHER", "/b": b"B", "/d": b"D"}
    assert states(bench, second.id) == {
        "/a": ("success", "changed: /a"),
        "/b": ("skipped", f"done in job {first.id}"),
        "/d": ("success", "new"),
    }
    assert (second.datums_total, second.datums_processed, second.datums_skipped) == (3, 2, 1)


def test_data_that_comes_back_is_not_processed_again(bench):
    bench.put(a=b"a", b=b"b")
    first = bench.run()
    bench.pfs.delete_file("images@master:/a")
    bench.run()
    assert bench.output() == {"/b": b"B"}
    bench.put(a=b"a")
    plan = bench.plan()
    assert plan.to_run == 0
    third = assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/a": b"A", "/b": b"B"}
    assert states(bench, third.id)["/a"] == ("skipped", f"done in job {first.id}")


def test_nothing_to_do_still_publishes_a_commit(bench):
    bench.put(a=b"a")
    first = bench.run()
    second = bench.run()
    assert second.output_commit != first.output_commit
    assert bench.pfs.inspect_branch("edges@master").head == second.output_commit
    assert bench.output() == {"/a": b"A"}


def test_no_datums_at_all_publish_an_empty_commit(bench):
    bench.document["input"]["pfs"]["glob"] = "/nothing*"
    bench.put(a=b"a")
    job = bench.run()
    assert (job.state, job.datums_total) == ("success", 0)
    assert bench.output() == {}


def test_a_failed_datum_publishes_nothing_and_the_others_are_remembered(bench):
    bench.put(a=b"a", b=b"b")
    good = bench.run()
    bench.put(c=b"c", d=b"d")
    plan = bench.plan("broken")
    bench.process(plan, fails_on("d"))
    with pytest.raises(DatumFailed, match="cannot read d") as raised:
        assemble_job(bench.pfs, plan.job_id)
    assert "images:/d" in str(raised.value)
    job = inspect_job(bench.pfs, plan.job_id)
    assert (job.state, job.datums_failed, job.datums_processed) == ("failed", 1, 1)
    assert bench.pfs.inspect_branch("edges@master").head == good.output_commit
    assert bench.pfs.inspect_commit(f"edges@{plan.output_commit}").state == "error"
    later = bench.plan("later")
    assert later.to_run == 1
    assert states(bench, later.job_id)["/d"] == ("pending", f"failed in job {plan.job_id}")
    assert states(bench, later.job_id)["/c"] == ("skipped", f"done in job {plan.job_id}")
    bench.process(later)
    assemble_job(bench.pfs, later.job_id)
    assert bench.output() == {"/a": b"A", "/b": b"B", "/c": b"C", "/d": b"D"}


def test_planning_again_keeps_job_and_commit_and_runs_only_what_failed(bench):
    bench.put(a=b"a", b=b"b")
    plan = bench.plan("again")
    bench.process(plan, fails_on("b"))
    with pytest.raises(DatumFailed):
        assemble_job(bench.pfs, plan.job_id)
    retry = bench.plan("again")
    assert (retry.job_id, retry.output_commit, retry.attempt) == (plan.job_id, plan.output_commit, 2)
    assert (retry.total, retry.skipped, retry.to_run) == (2, 1, 1)
    bench.process(retry)
    job = assemble_job(bench.pfs, retry.job_id)
    assert (job.state, job.datums_processed, job.datums_skipped, job.datums_failed) == ("success", 2, 0, 0)
    assert bench.output() == {"/a": b"A", "/b": b"B"}


def test_clearing_only_the_failed_set_continues_the_job(bench):
    bench.put(a=b"a", b=b"b")
    plan = bench.plan()
    bench.process(plan, fails_on("b"))
    with pytest.raises(DatumFailed):
        assemble_job(bench.pfs, plan.job_id)
    bench.process(plan, attempt="0002")
    job = assemble_job(bench.pfs, plan.job_id)
    assert (job.state, job.output_commit, job.error) == ("success", plan.output_commit, None)
    assert bench.pfs.inspect_branch("edges@master").head == plan.output_commit


def test_a_set_whose_pod_died_leaves_datums_without_result(bench):
    bench.document["datum_set_spec"] = {"number": 3}
    bench.put(a=b"a", b=b"b", c=b"c")
    plan = bench.plan("evicted")
    InProcessRunner(bench.pfs, bench.code).run_set(plan.sets[0], only_first=1)
    with pytest.raises(JobFailed, match="2 left no result"):
        assemble_job(bench.pfs, plan.job_id)
    retry = bench.plan("evicted")
    assert retry.to_run == 2
    assert len(bench.process(retry)) == 2
    assert assemble_job(bench.pfs, retry.job_id).state == "success"
    assert bench.output() == {"/a": b"A", "/b": b"B", "/c": b"C"}


def test_assembling_twice_gives_the_same_commit(bench):
    bench.put(a=b"a")
    plan = bench.plan()
    bench.process(plan)
    first = assemble_job(bench.pfs, plan.job_id)
    assert assemble_job(bench.pfs, plan.job_id) == first
    assert len(list(bench.pfs.list_commits("edges@master"))) == 1


def test_planning_a_job_that_has_published_has_nothing_to_do(bench):
    bench.put(a=b"a")
    job = bench.run("same")
    plan = bench.plan("same")
    assert (plan.done, plan.job_id, plan.sets, plan.output_commit) == (True, job.id, [], job.output_commit)


def test_the_first_success_of_a_datum_counts(bench):
    bench.put(a=b"a")
    plan = bench.plan()
    bench.process(plan, lambda inputs: {"a": b"first"}, attempt="0001")
    bench.process(plan, lambda inputs: {"a": b"second"}, attempt="0002")
    bench.process(plan, fails_on("a"), attempt="0003")
    assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/a": b"first"}


def test_one_run_sees_one_version_of_a_branch(bench):
    bench.put(a=b"a")
    seen = bench.pfs.inspect_branch("images@master").head
    bench.run("run")
    bench.put(b=b"b")
    sizes = {"pipeline": {"name": "sizes"}}
    job = bench.run("run", stage="sizes", spec=sizes)
    assert [one.commit for one in job.inputs] == [seen]
    other = bench.run("other run", stage="sizes", spec=sizes)
    assert other.datums_total == 2


def test_a_later_stage_reads_what_the_run_published_not_what_came_after(bench):
    bench.put(a=b"a")
    first = bench.run("run")
    bench.put(b=b"b")
    bench.run("next run")
    behind = {"pipeline": {"name": "behind"}, "input": {"pfs": {"repo": "edges", "glob": "/"}}}
    job = bench.run("run", stage="behind", spec=behind)
    assert job.inputs[0].commit == first.output_commit
    assert bench.output("behind@master") == {"/a": b"A"}


def test_an_input_may_pin_its_commit(bench):
    bench.put(a=b"a")
    old = bench.pfs.inspect_branch("images@master").head
    bench.put(b=b"b")
    job = bench.run(spec={"input": {"pfs": {"repo": "images", "glob": "/*", "commit": old}}})
    assert job.datums_total == 1
    assert job.inputs[0].commit == old


def test_reprocess_runs_everything_and_replaces_the_outputs(bench):
    bench.put(a=b"a", b=b"b")
    bench.run()
    plan = bench.plan("again", reprocess=True)
    assert plan.to_run == 2
    assert {reason for _, reason in states(bench, plan.job_id).values()} == {"reprocess"}
    bench.process(plan, lambda inputs: {"other": b"x"} if "a" in inputs["images"] else {})
    assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/other": b"x"}


def test_reprocessing_again_after_a_failure_keeps_what_this_job_did(bench):
    bench.put(a=b"a", b=b"b")
    bench.run()
    plan = bench.plan("again", reprocess=True)
    bench.process(plan, fails_on("b"))
    with pytest.raises(DatumFailed):
        assemble_job(bench.pfs, plan.job_id)
    assert bench.plan("again", reprocess=True).to_run == 1


def test_every_job_reprocesses_when_the_spec_says_so(bench):
    bench.document["reprocess_spec"] = "every_job"
    bench.put(a=b"a")
    bench.run()
    assert bench.plan().to_run == 1


def test_a_new_code_version_runs_everything_a_new_image_nothing(bench):
    bench.put(a=b"a")
    bench.run()
    assert bench.plan(spec={"transform": {"image": "edges:2", "cmd": ["edges", "-v"]}}).to_run == 0
    assert bench.plan(spec={"code_version": "2"}).to_run == 1


def test_a_recovered_datum_has_no_output_and_runs_in_the_next_job(bench):
    def code(inputs):
        if "b" in inputs["images"]:
            raise CodeRecovered("no edges in it")
        return {"a": b"A"}

    bench.put(a=b"a", b=b"b")
    job = bench.run(code=code)
    assert (job.state, job.datums_recovered, job.datums_processed) == ("success", 1, 1)
    assert bench.output() == {"/a": b"A"}
    plan = bench.plan()
    assert plan.to_run == 1
    assert states(bench, plan.job_id)["/b"] == ("pending", f"recovered in job {job.id}")


def test_a_failed_job_leaves_no_open_commit_and_can_be_planned_again(bench):
    bench.put(a=b"a")
    plan = bench.plan("run")
    failed = fail_job(bench.pfs, plan.job_id, "the DAG run was deleted")
    assert (failed.state, failed.error) == ("failed", "the DAG run was deleted")
    assert bench.pfs.inspect_commit(f"edges@{plan.output_commit}").state == "error"
    assert fail_job(bench.pfs, plan.job_id, "again").error == "the DAG run was deleted"
    again = bench.plan("run")
    assert bench.pfs.inspect_commit(f"edges@{again.output_commit}").state == "open"


def test_failing_keeps_what_was_recorded(bench):
    bench.put(a=b"a", b=b"b")
    plan = bench.plan()
    bench.process(plan)
    fail_job(bench.pfs, plan.job_id, "assemble was killed")
    assert bench.plan().to_run == 0


def test_a_published_job_cannot_fail(bench):
    bench.put(a=b"a")
    job = bench.run()
    with pytest.raises(Conflict, match="has published"):
        fail_job(bench.pfs, job.id, "too late")


def test_a_stopped_job_is_not_assembled_but_may_be_planned_again(bench):
    bench.put(a=b"a")
    plan = bench.plan("run")
    bench.process(plan)
    assert stop_job(bench.pfs, plan.job_id).state == "stopped"
    with pytest.raises(JobFailed, match="stopped"):
        assemble_job(bench.pfs, plan.job_id)
    again = bench.plan("run")
    assert again.to_run == 0
    assert assemble_job(bench.pfs, again.job_id).state == "success"


def test_an_unknown_job_is_said_to_be_unknown(pfs):
    for action in (assemble_job, inspect_job, stop_job):
        with pytest.raises(JobNotFound, match="no-such-job"):
            action(pfs, "no-such-job")


def test_somebody_elses_commit_on_the_output_is_a_conflict_and_stays(bench):
    bench.put(a=b"a")
    bench.run()
    bench.put(b=b"b")
    plan = bench.plan()
    bench.process(plan)
    bench.pfs.put_file("edges@master:/by-hand", b"mine")
    with pytest.raises(Conflict, match="edges@master"):
        assemble_job(bench.pfs, plan.job_id)
    assert bench.pfs.get_file("edges@master:/by-hand") == b"mine"
    assert inspect_job(bench.pfs, plan.job_id).state == "failed"
    with pytest.raises(Conflict, match="another output"):
        bench.plan()


def test_moving_the_output_back_builds_on_the_older_job(bench):
    bench.put(a=b"a")
    first = bench.run()
    bench.put(b=b"b")
    bench.run()
    bench.pfs.create_branch("edges@master", head=f"edges@{first.output_commit}")
    bench.run()
    assert bench.output() == {"/a": b"A", "/b": b"B"}


def test_two_jobs_of_one_pipeline_may_publish_in_any_order(bench):
    bench.put(a=b"a")
    one = bench.plan()
    bench.put(b=b"b")
    two = bench.plan()
    bench.process(two)
    assemble_job(bench.pfs, two.job_id)
    bench.process(one)
    assemble_job(bench.pfs, one.job_id)
    assert bench.output() == {"/a": b"A"}


def test_jobs_are_listed_newest_first_page_by_page(bench):
    bench.put(a=b"a")
    ids = [bench.run().id for _ in range(5)]
    assert [job.id for job in list_jobs(bench.pfs, pipeline="edges")] == ids[::-1]
    page = list(list_jobs(bench.pfs, limit=2))
    rest = list(list_jobs(bench.pfs, after=page[-1].id))
    assert [job.id for job in page + rest] == ids[::-1]
    assert list(list_jobs(bench.pfs, pipeline="other")) == []
    assert len(list(list_jobs(bench.pfs, run_id="run2"))) == 1
    assert list(list_jobs(bench.pfs, state="failed")) == []


def test_datums_are_paged_with_the_unfinished_ones_first(bench):
    bench.put(**{f"f{n}": b"%d" % n for n in range(7)})
    plan = bench.plan()
    bench.process(plan, fails_on("f3"))
    with pytest.raises(DatumFailed):
        assemble_job(bench.pfs, plan.job_id)
    everything = list(list_job_datums(bench.pfs, plan.job_id))
    assert [one.state for one in everything] == ["failed", *["success"] * 6]
    paged = []
    cursor = None
    while page := list(list_job_datums(bench.pfs, plan.job_id, after=cursor, limit=3)):
        paged += page
        cursor = page[-1].cursor
    assert paged == everything
    assert [one.error for one in list_job_datums(bench.pfs, plan.job_id, state="failed")] == ["cannot read f3"]
    assert len(list(list_job_datums(bench.pfs, plan.job_id, state="success", limit=4))) == 4
    assert list(list_job_datums(bench.pfs, plan.job_id, state="skipped")) == []
