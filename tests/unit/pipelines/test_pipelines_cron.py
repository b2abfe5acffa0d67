"""Cron inputs: which times are due, and what is committed for them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_pachy.errors import CommitOpen, InvalidArgument, InvalidSpec
from airflow_pachy.pipelines import PipelineSpec, list_datums
from airflow_pachy.pipelines.inputs import CronInput
from airflow_pachy.pipelines.inputs.cron import due_ticks, feed_cron, read_tick, tick_name, tick_now, tick_of
from airflow_pachy.pipelines.inputs.fed import make_own_sources

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def make(pfs, **fields):
    cron = CronInput(**{"name": "tick", "repo": "p_tick", "spec": "@hourly", "start": NOON, **fields})
    make_own_sources(pfs, cron)
    return cron


def ticks(pfs):
    return [one.path for one in pfs.list_file("p_tick@master:/")]


def commits(pfs):
    return [one.description for one in pfs.list_commits("p_tick@master", reverse=True)]


@pytest.mark.parametrize(
    ("spec", "hours", "expected"),
    [
        ("@hourly", 3, ["13:00", "14:00", "15:00"]),
        ("30 * * * *", 2, ["12:30", "13:30"]),
        ("@every 90m", 4, ["13:30", "15:00"]),
        ("@every 45s", 0, []),
        ("@daily", 11, []),
        ("@never", 10_000, []),
        ("0 0 30 2 *", 10_000, []),
        ("0 14 * * 5", 100, ["14:00"]),
    ],
)
def test_every_time_that_has_come_is_due(spec, hours, expected):
    found = due_ticks(spec, NOON, NOON + timedelta(hours=hours))
    assert [f"{tick:%H:%M}" for tick in found] == expected


@pytest.mark.parametrize("spec", ["* * * * * *", "@reboot", "soon", "", "61 * * * *", "@every 0s"])
def test_what_is_no_schedule_is_refused(spec):
    with pytest.raises(InvalidArgument):
        list(due_ticks(spec, NOON, NOON))
    with pytest.raises(InvalidSpec, match=r"input\.cron\.spec"):
        PipelineSpec.parse(
            {
                "pipeline": {"name": "p"},
                "transform": {"image": "i", "cmd": ["c"]},
                "input": {"cron": {"name": "t", "spec": spec}},
            }
        )


def test_missed_ticks_are_made_up_for_one_by_one(pfs):
    cron = make(pfs)
    assert len(feed_cron(pfs, cron, NOON + timedelta(hours=10))) == 10
    assert ticks(pfs)[0] == "/2024-03-01T13:00:00Z"
    assert commits(pfs) == [f"tick 2024-03-01T{hour}:00:00Z" for hour in range(13, 23)]
    assert feed_cron(pfs, cron, NOON + timedelta(hours=10, minutes=59)) == []
    assert len(feed_cron(pfs, cron, NOON + timedelta(hours=11))) == 1
    assert len(list(list_datums(pfs, cron))) == 11
    assert pfs.get_file("p_tick@master:/2024-03-01T13:00:00Z") == b""


def test_a_feed_can_be_limited(pfs):
    cron = make(pfs)
    assert len(feed_cron(pfs, cron, NOON + timedelta(hours=10), limit=4)) == 4
    assert len(feed_cron(pfs, cron, NOON + timedelta(hours=10), limit=40)) == 6


def test_overwriting_leaves_the_last_tick(pfs):
    cron = make(pfs, overwrite=True)
    feed_cron(pfs, cron, NOON + timedelta(hours=3))
    assert ticks(pfs) == ["/2024-03-01T15:00:00Z"]
    assert len(commits(pfs)) == 3
    assert len(list(list_datums(pfs, cron))) == 1


def test_without_a_start_the_repo_s_making_counts(pfs):
    cron = make(pfs, start=None, spec="@every 1h")
    made = pfs.inspect_repo("p_tick").created
    assert feed_cron(pfs, cron, made + timedelta(minutes=59)) == []
    assert feed_cron(pfs, cron, made + timedelta(hours=2)) == [made + timedelta(hours=1), made + timedelta(hours=2)]


def test_a_later_start_skips_what_is_before_it(pfs):
    feed_cron(pfs, make(pfs), NOON + timedelta(hours=2))
    later = make(pfs, start=NOON + timedelta(hours=20))
    assert feed_cron(pfs, later, NOON + timedelta(hours=10)) == []
    assert feed_cron(pfs, later, NOON + timedelta(hours=21)) == [NOON + timedelta(hours=21)]
    earlier = make(pfs, start=NOON - timedelta(days=300))
    assert feed_cron(pfs, earlier, NOON + timedelta(hours=22)) == [NOON + timedelta(hours=22)]


def test_a_tick_by_hand_loses_none_that_is_due(pfs):
    cron = make(pfs)
    moment = NOON + timedelta(hours=2, minutes=10)
    assert tick_now(pfs, cron, moment) == moment
    assert [name[12:17] for name in ticks(pfs)] == ["13:00", "14:00", "14:10"]
    assert feed_cron(pfs, cron, NOON + timedelta(hours=3)) == [NOON + timedelta(hours=3)]
    with pytest.raises(CommitOpen, match="has an open commit, or a tick"):
        tick_now(pfs, cron, NOON + timedelta(hours=3))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_date_that_is_backfilled_ticks_once_and_the_schedule_goes_on_where_it_was(pfs, overwrite):
    cron = make(pfs, overwrite=overwrite)
    feed_cron(pfs, cron, NOON + timedelta(hours=2))
    past = NOON - timedelta(days=400)
    assert tick_of(pfs, cron, past) == past
    assert tick_of(pfs, cron, past) is None, "it is there"
    assert tick_of(pfs, cron, past + timedelta(minutes=1)) is None, "the schedule has none then"
    assert feed_cron(pfs, cron, NOON + timedelta(hours=2)) == []
    assert feed_cron(pfs, cron, NOON + timedelta(hours=3)) == [NOON + timedelta(hours=3)]
    assert commits(pfs)[-2:] == ["backfilled tick 2023-01-26T12:00:00Z", "tick 2024-03-01T15:00:00Z"]


def test_backfilling_before_the_first_tick_is_no_start_of_the_schedule(pfs):
    cron = make(pfs, start=None, spec="@every 90m")
    assert tick_of(pfs, cron, NOON) == NOON
    assert feed_cron(pfs, cron, datetime.now(UTC)) == []


def test_two_feeders_commit_each_tick_once(pfs):
    cron = make(pfs)
    open_commit = pfs.start_commit("p_tick@master")
    assert feed_cron(pfs, cron, NOON + timedelta(hours=2)) == []
    pfs.drop_commit(open_commit)
    assert len(feed_cron(pfs, cron, NOON + timedelta(hours=2))) == 2


def test_other_files_in_the_repo_do_no_harm(pfs):
    cron = make(pfs)
    feed_cron(pfs, cron, NOON + timedelta(hours=1))
    pfs.put_file("p_tick@master:/zzz", b"note")
    assert feed_cron(pfs, cron, NOON + timedelta(hours=2)) == [NOON + timedelta(hours=2)]


def test_names_of_ticks_sort_as_times():
    berlin = timezone(timedelta(hours=1))
    assert tick_name(datetime(2024, 3, 1, 13, tzinfo=berlin)) == "2024-03-01T12:00:00Z"
    assert tick_name(NOON + timedelta(milliseconds=5)) == "2024-03-01T12:00:00.005000Z"
    assert read_tick("/2024-03-01T12:00:00Z") == NOON
    assert read_tick("/2024-03-01T13:00:00+01:00") == NOON
    assert read_tick("time") is None
    assert read_tick("2024-03-01T12:00:00") is None


def parse(**cron):
    document = {
        "pipeline": {"name": "report"},
        "transform": {"image": "i", "cmd": ["c"]},
        "input": {
            "cross": [{"cron": {"name": "night", "spec": "@daily", **cron}}, {"pfs": {"repo": "r", "glob": "/"}}]
        },
    }
    (spec,) = PipelineSpec.parse(document)
    return spec


def test_a_pipeline_s_cron_input_has_a_repo_of_its_own():
    spec = parse(start="2024-03-01T13:00:00+01:00")
    assert next((leaf.repo, leaf.glob, leaf.name) for leaf in spec.input.leaves()) == ("report_night", "/*", "night")
    assert spec.input.members[0].start == NOON
    assert PipelineSpec.parse(spec.to_spec()) == [spec]
    assert [leaf.repo for leaf in parse(repo="mine").input.leaves()] == ["mine", "r"]


def test_a_cron_input_without_a_pipeline_names_its_repo(pfs):
    with pytest.raises(InvalidSpec, match="needs its 'repo' here"):
        list(list_datums(pfs, {"cron": {"name": "night", "spec": "@daily"}}))
    with pytest.raises(InvalidSpec, match="timezone"):
        parse(start="2024-03-01T13:00:00")
    with pytest.raises(InvalidSpec, match="may not be named 'out'"):
        parse(name="out")


def test_planning_makes_the_repo(bench):
    bench.document["input"] = {"cron": {"name": "tick", "spec": "@hourly", "start": "2024-03-01T12:00:00Z"}}
    make_own_sources(bench.pfs, bench.spec().input)
    cron = bench.spec().input
    feed_cron(bench.pfs, cron, NOON + timedelta(hours=2))
    assert [one.repo for one in bench.pfs.list_branches("edges_tick")] == ["edges_tick"]
    assert bench.plan().total in (1, 2)
