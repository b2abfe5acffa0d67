"""What a datum set's task says at its end."""

import logging

import pytest

from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException
from airflow_pachy.operators.datum_set import conclude
from airflow_pachy.operators.report import SHOWN_DATUMS, read_report, report
from airflow_pachy.worker.plan import DatumPlan, DatumResult, InputPlan, SetPlan, TransformPlan

LOG = logging.getLogger(__name__)


def plan(count=3):
    datums = tuple(
        DatumPlan(f"{n:032x}", (InputPlan("images", "images", "master", "c" * 32, "", f"{n}.png"),))
        for n in range(count)
    )
    return SetPlan(
        job="j" * 32,
        set="0001",
        pipeline="edges",
        output_commit="o" * 32,
        transform=TransformPlan(cmd=("python3", "edges.py")),
        results_prefix="jobs/j/0001",
        datums=datums,
    )


def results(plan, *states, **fields):
    return [DatumResult(datum.id, state, **fields) for datum, state in zip(plan.datums, states, strict=False)]


def judged(plan, earlier, current=()):
    return report(plan, [*((one, False) for one in earlier), *((one, True) for one in current)])


def test_a_set_with_a_success_for_each_datum_is_complete():
    found = judged(plan(), [], results(plan(), "success", "success", "success"))
    assert found.complete
    assert found.counts() == "3 datums: 3 done"
    conclude(LOG, found, "unused")


def test_a_recovered_datum_does_not_fail_the_task():
    found = judged(plan(), [], results(plan(), "success", "recovered", "success"))
    assert found.complete
    assert "1 recovered by err_cmd" in found.counts()


def test_a_success_of_any_attempt_counts_for_ever():
    first = results(plan(), "success", "failed", "success")
    second = results(plan(), "failed", "success", "failed")
    assert judged(plan(), first, second).complete


def test_failed_datums_fail_the_task_for_good_with_all_that_helps(caplog):
    failed = results(plan(1), "failed", tries=3, exit_code=3, reason="it broke", log_tail="one\ntwo\n")
    with pytest.raises(AirflowFailException) as error:
        conclude(LOG, judged(plan(1), [], failed), "unused")
    for part in ("1 of 1 datums", "images:/0.png", "it broke", "clear this task"):
        assert part in str(error.value)
    text = caplog.text
    for part in (
        "images@cccccccc:/0.png",
        "exit code 3",
        "3 tries",
        "it broke",
        "python3 edges.py",
        "| two",
        "clear this task",
    ):
        assert part in text


def test_many_failures_are_counted_not_listed():
    big = plan(20)
    text = judged(big, [], results(big, *["failed"] * 20, exit_code=1)).describe_failures()
    assert text.count("datum 000") == SHOWN_DATUMS
    assert "... and 15 more: pachy list datum" in text


def test_datums_without_a_record_are_retried_by_airflow():
    found = judged(plan(), [], results(plan(), "success"))
    with pytest.raises(AirflowException, match="3 datums: 1 done, 2 not finished: the pod was evicted") as error:
        conclude(LOG, found, "the pod was evicted")
    assert not isinstance(error.value, AirflowFailException)


def test_a_pod_that_cannot_start_is_not_retried():
    with pytest.raises(AirflowFailException, match="image 'x' cannot be pulled"):
        conclude(LOG, judged(plan(), []), "image 'x' cannot be pulled", final=True)


def test_a_pod_lost_after_clearing_is_not_blamed_on_the_code():
    found = judged(plan(1), results(plan(1), "failed", exit_code=3))
    assert (len(found.failed), len(found.unfinished)) == (0, 1)


def test_the_records_of_this_try_are_known_by_their_folder():
    from airflow_pachy.pfs.objects import open_store
    from airflow_pachy.worker.outcome import new_attempt
    from airflow_pachy.worker.plan import ResultWriter

    store = open_store("memory://test-set-report")
    for number, state in ((1, "failed"), (2, "failed")):
        with ResultWriter(store, f"{plan().results_prefix}/{new_attempt(number)}") as writer:
            writer.add(DatumResult(plan().datums[number].id, state))
    found = read_report(store, plan(), 2)
    assert [datum.id for datum, _ in found.failed] == [plan().datums[2].id]
    assert len(found.unfinished) == 2
