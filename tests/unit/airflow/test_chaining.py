"""What a run's kind and configuration say about the commits that it reads."""

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from airflow_pachy.operators.chaining import (
    backfilled_moment,
    commits_by_hand,
    is_by_hand,
    is_woken_by,
    reads_in_order,
    reprocess_by_hand,
    try_of,
)
from airflow_pachy.pipelines import PlanTry

MOMENT = datetime(2024, 5, 1, tzinfo=UTC)


def context(kind="manual", conf=None, **fields):
    fields = {"logical_date": None, "data_interval_end": None, **fields}
    return {"dag_run": SimpleNamespace(run_type=kind, conf=conf, **fields)}


def test_data_has_each_commit_its_turn_and_so_have_the_runs_that_follow():
    assert reads_in_order(context("asset_triggered"))
    assert reads_in_order(context("manual", {"pachy": {"after": "job"}}))
    assert not reads_in_order(context("scheduled"))
    assert is_by_hand(context("manual", {"commits": {}, "reprocess": False}))
    assert not is_by_hand(context("manual", {"pachy": {"after": "job"}}))


def test_the_form_of_a_run_by_hand_chooses_commits_and_reprocessing():
    assert commits_by_hand(context(conf={"commits": {"images@master": "master^"}})) == {"images@master": "master^"}
    assert commits_by_hand(context(conf={"commits": {}})) == {}
    assert reprocess_by_hand(context(conf={"reprocess": True}))
    assert not reprocess_by_hand(context(conf={"reprocess": False}))
    assert not reprocess_by_hand(context(conf=None))


@pytest.mark.parametrize("conf", [{"commits": ["x"]}, {"commits": {"images@master": 5}}])
def test_commits_that_are_none_are_refused(conf):
    with pytest.raises(TypeError, match="images@master"):
        commits_by_hand(context(conf=conf))


def test_reprocess_is_true_or_false():
    with pytest.raises(TypeError, match="true or false"):
        reprocess_by_hand(context(conf={"reprocess": "yes"}))


def test_a_backfill_is_about_the_end_of_its_interval():
    assert backfilled_moment(context("backfill", data_interval_end=MOMENT)) == MOMENT
    assert backfilled_moment(context("backfill", logical_date=MOMENT)) == MOMENT
    assert backfilled_moment(context("scheduled", data_interval_end=MOMENT)) is None


def test_the_try_of_a_task_is_told_with_the_clears_of_its_run():
    of_run = context(clear_number=3) | {"ti": SimpleNamespace(try_number=2, id=UUID(int=7))}
    assert try_of(of_run) == PlanTry(2, "00000000-0000-0000-0000-000000000007", 3)
    del of_run["dag_run"].clear_number
    assert try_of(of_run).cleared == 0


def consumed(*uris, **fields):
    events = [SimpleNamespace(asset=SimpleNamespace(uri=uri)) for uri in uris]
    return context("asset_triggered", consumed_asset_events=events, **fields)


def test_only_events_of_its_own_branches_wake_a_stage():
    own = {"pfs://images/master", "pfs://labels/master"}
    assert is_woken_by(consumed("pfs://images/master", "pfs://images/master"), own)
    assert is_woken_by(context(conf={"pachy": {"after": "job"}}), own)
    assert not is_woken_by(consumed("pfs://images/master", "pfs://other/master"), own)
    assert not is_woken_by(consumed("pfs://images/master", "s3://bucket/key"), own)
    assert not is_woken_by(context("scheduled"), own)
    assert not is_woken_by(context("manual"), own)
