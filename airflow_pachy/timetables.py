"""When a pipeline's DAG runs: on commits of its inputs, at the ticks of its cron inputs, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from airflow_pachy.pipelines.inputs import Input


def pipeline_schedule(inputs: Iterable[Input], outputs: Iterable[str], pfs_conn_id: str, git_poll: timedelta) -> Any:
    """The `schedule` of a DAG that reads `inputs`; branches in `outputs` are made by the DAG itself and start nothing.

    None if nothing starts it: all inputs are pinned, or tick never.
    """
    from airflow.sdk import AssetAny

    from airflow_pachy.assets import git_asset, pfs_asset
    from airflow_pachy.pipelines.inputs.fed import fed_inputs
    from airflow_pachy.pipelines.inputs.git import GitInput

    nodes = list(inputs)
    fed = [one for node in nodes for one in fed_inputs(node)]
    own = {f"{one.leaf.repo}@{one.leaf.branch}" for one in fed} | set(outputs)
    # A pinned commit never changes, so it starts nothing.
    leaves = [leaf for node in nodes for leaf in node.leaves() if leaf.commit is None and leaf.trigger is not False]
    branches = dict.fromkeys(f"{leaf.repo}@{leaf.branch}" for leaf in leaves)
    assets = [pfs_asset(branch, conn_id=pfs_conn_id) for branch in branches if branch not in own]
    # A push wakes the DAG before its next poll, where a webhook tells of it.
    pushes = dict.fromkeys((one.url, one.branch) for one in fed if isinstance(one, GitInput))
    assets += [git_asset(url, branch) for url, branch in pushes]
    timetable = _timetable(fed, git_poll)
    condition = assets[0] if len(assets) == 1 else AssetAny(*assets) if assets else None
    if timetable is not None and condition is not None:
        return _airflow_timetables().AssetOrTimeSchedule(timetable=timetable, assets=condition)
    return timetable or condition


def _timetable(fed: Iterable[Any], git_poll: timedelta) -> Any:
    """The ticks of all inputs that are fed by the clock."""
    from airflow_pachy.pfs.schedules import Schedule, step_of
    from airflow_pachy.pipelines.inputs.cron import CronInput

    crons: list[str] = []
    steps: list[timedelta] = []
    for one in fed:
        if not isinstance(one, CronInput):
            steps.append(git_poll)
        elif (step := step_of(one.spec)) is not None:
            steps.append(step)
        elif not Schedule(one.spec).is_never:
            crons.append(one.spec)
    if steps and crons:
        raise InvalidSpec(
            f"a DAG cannot run at {', '.join(crons)} and every {min(steps)}: write all its cron inputs as cron "
            "fields or all as @every, or put one into a pipeline of its own"
        )
    if steps:
        return _airflow_timetables().DeltaTriggerTimetable(min(steps))
    if len(crons) > 1:
        return _airflow_timetables().MultipleCronTriggerTimetable(*crons, timezone="UTC")
    return _airflow_timetables().CronTriggerTimetable(crons[0], timezone="UTC") if crons else None


def _airflow_timetables() -> Any:
    """Where Airflow keeps its timetables: the SDK since 3.2, before that in the modules that the scheduler uses."""
    from airflow import sdk

    if hasattr(sdk, "AssetOrTimeSchedule"):
        return sdk
    from types import SimpleNamespace

    from airflow.timetables import assets, trigger

    return SimpleNamespace(**{**vars(trigger), "AssetOrTimeSchedule": assets.AssetOrTimeSchedule})
