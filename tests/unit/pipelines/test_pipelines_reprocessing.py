"""`reprocess_spec` and asking for all datums: what runs again, and what does not."""

import pytest

from airflow_pachy.errors import DatumFailed
from airflow_pachy.pipelines import assemble_job, list_job_datums
from airflow_pachy.testing.pipelines import CodeFailed


def upper_but(*failing):
    def code(inputs):
        (path,) = inputs["images"]
        if path in failing:
            raise CodeFailed("no")
        return {path: inputs["images"][path].upper()}

    return code


def ran(bench, code=None, **options):
    plan = bench.plan(**options)
    processed = bench.process(plan, code)
    paths = {one.id: one.inputs[0][1] for one in list_job_datums(bench.pfs, plan.job_id)}
    return plan, sorted(paths[one] for one in processed)


@pytest.mark.parametrize("rule", ["until_success", None])
def test_until_success_runs_what_never_succeeded(bench, rule):
    bench.document["reprocess_spec"] = rule
    bench.put(a=b"a", b=b"b")
    plan, paths = ran(bench, upper_but("b"))
    assert paths == ["/a", "/b"]
    with pytest.raises(DatumFailed):
        assemble_job(bench.pfs, plan.job_id)
    bench.put(c=b"c")
    # The job failed, but not all of it was in vain.
    plan, paths = ran(bench)
    assert paths == ["/b", "/c"]
    assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/a": b"A", "/b": b"B", "/c": b"C"}
    assert ran(bench)[1] == []


def test_every_job_runs_everything_and_goes_on_where_an_attempt_failed(bench):
    bench.document["reprocess_spec"] = "every_job"
    bench.put(a=b"a", b=b"b")
    bench.run()
    plan, paths = ran(bench, upper_but("b"), run="again")
    assert paths == ["/a", "/b"]
    with pytest.raises(DatumFailed):
        assemble_job(bench.pfs, plan.job_id)
    # Cleared: the same job, which has done one of them.
    again = bench.plan("again")
    assert (again.job_id, again.attempt, again.to_run) == (plan.job_id, 2, 1)
    bench.process(again, attempt="0002")
    job = assemble_job(bench.pfs, again.job_id)
    assert (job.datums_total, job.datums_processed, job.datums_skipped) == (2, 2, 0)
    assert ran(bench)[1] == ["/a", "/b"]


def test_what_every_job_ran_is_known_when_the_rule_changes(bench):
    bench.put(a=b"a")
    bench.run(spec={"reprocess_spec": "every_job"})
    assert ran(bench)[1] == []


def test_reprocessing_one_run_changes_nothing_for_the_next(bench):
    bench.put(a=b"a", b=b"b")
    bench.run()
    plan, paths = ran(bench, lambda inputs: {next(iter(inputs["images"])): b"new"}, reprocess=True)
    assert paths == ["/a", "/b"]
    assemble_job(bench.pfs, plan.job_id)
    bench.put(c=b"c")
    plan, paths = ran(bench)
    assert paths == ["/c"]
    assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/a": b"new", "/b": b"new", "/c": b"C"}
