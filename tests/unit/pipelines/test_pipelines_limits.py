"""What a pipeline says about time and company of its datums arrives where it is kept."""

from datetime import UTC, datetime, timedelta

import pytest

from airflow_pachy.errors import InvalidSpec, JobFailed
from airflow_pachy.metadata.models import Job
from airflow_pachy.pipelines import assemble_job, inspect_job, list_job_datums
from airflow_pachy.testing.pipelines import CodeFailed
from airflow_pachy.worker.plan import read_plan


def test_a_job_has_its_timeout_from_planning_on(bench):
    bench.put(a=b"1")
    bench.document["job_timeout"] = "1h"
    before = datetime.now(UTC)
    plan = bench.plan()
    deadline = datetime.fromtimestamp(read_plan(bench.pfs.store, plan.sets[0]).deadline, UTC)
    assert timedelta(hours=1) <= deadline - before < timedelta(hours=2)


def test_without_a_timeout_there_is_no_deadline(bench):
    bench.put(a=b"1")
    assert read_plan(bench.pfs.store, bench.plan().sets[0]).deadline is None


def expire(bench, job_id):
    with bench.pfs.metadata.session() as session:
        session.get(Job, job_id).deadline = datetime(2020, 1, 1, tzinfo=UTC)


def test_a_job_that_was_not_done_in_time_is_killed_and_says_so(bench):
    bench.put(a=b"1", b=b"2")
    bench.document["job_timeout"] = "1h"
    bench.document["datum_set_spec"] = {"number": 1}
    plan = bench.plan("run1")
    bench.process(type(plan)(**{**_fields(plan), "sets": plan.sets[:1]}))
    expire(bench, plan.job_id)
    with pytest.raises(JobFailed, match=r"killed at 2020-01-01 00:00:00.*job_timeout.*1 of 2 datums were not done"):
        assemble_job(bench.pfs, plan.job_id)
    assert inspect_job(bench.pfs, plan.job_id).state == "failed"
    # Planned again, it has its time again and keeps what is done.
    job = bench.run("run1")
    assert (job.state, job.datums_processed, job.datums_total) == ("success", 2, 2)


def test_a_job_that_is_done_is_published_however_late(bench):
    bench.put(a=b"1")
    bench.document["job_timeout"] = "1h"
    plan = bench.plan()
    bench.process(plan)
    expire(bench, plan.job_id)
    assert assemble_job(bench.pfs, plan.job_id).state == "success"


def _fields(plan):
    return {name: getattr(plan, name) for name in type(plan).__dataclass_fields__}


@pytest.mark.parametrize(("said", "most"), [(True, 500), (False, 0), (None, 0), (20, 20)])
def test_batches_are_a_number_or_a_wish(bench, said, most):
    bench.put(a=b"1")
    bench.document["transform"]["batch"] = said
    assert read_plan(bench.pfs.store, bench.plan().sets[0]).transform.batch == most


def test_lazy_inputs_do_not_come_in_batches(bench):
    bench.document["transform"]["batch"] = True
    bench.document["input"]["pfs"]["lazy"] = True
    with pytest.raises(InvalidSpec, match=r"'images' is lazy.*batches"):
        bench.spec()


def test_datums_are_found_by_the_beginning_of_their_ids_failed_ones_first(bench):
    bench.put(**{f"f{number:02d}": b"%d" % number for number in range(40)})
    plan = bench.plan()

    def fail_some(inputs):
        ((path, content),) = inputs["images"].items()
        if path.endswith("7"):
            raise CodeFailed("bad")
        return {path: content}

    bench.process(plan, fail_some)
    with pytest.raises(JobFailed):
        assemble_job(bench.pfs, plan.job_id)
    everything = list(list_job_datums(bench.pfs, plan.job_id))
    assert [one.state for one in everything] == ["failed"] * 4 + ["success"] * 36
    for digit in "0123456789abcdef":
        wanted = [one for one in everything if one.id.startswith(digit)]
        assert list(list_job_datums(bench.pfs, plan.job_id, prefix=digit)) == wanted
    paged, after = [], None
    while page := list(list_job_datums(bench.pfs, plan.job_id, after=after, limit=7)):
        paged += page
        after = page[-1].cursor
    assert paged == everything
    failed = list(list_job_datums(bench.pfs, plan.job_id, state="failed", after=everything[1].cursor))
    assert failed == everything[2:4]
