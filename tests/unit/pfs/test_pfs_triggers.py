"""Branches that follow others: triggers by size, number of commits, rate limit and schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from airflow_pachy.errors import HasDependents, InvalidArgument, InvalidName
from airflow_pachy.metadata.models import HeadMove
from airflow_pachy.pfs import Trigger
from airflow_pachy.pfs.schedules import Schedule

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def head(pfs, branch):
    return pfs.inspect_branch(f"images@{branch}").head


def put(pfs, branch="staging", path="/a", data=b"1"):
    pfs.put_file(f"images@{branch}:{path}", data)
    return head(pfs, branch)


def moves_at(pfs, branch, *moments):
    """Say when the moves of a branch were made: what a test cannot wait for."""
    with pfs.metadata.session() as session:
        for ordinal, moment in enumerate(moments, 1):
            session.execute(
                update(HeadMove)
                .where(HeadMove.repo == "images", HeadMove.branch == branch, HeadMove.ordinal == ordinal)
                .values(moved=moment)
            )


def told_at(pfs, branch, moment):
    """Say since when a branch has had its trigger."""
    from airflow_pachy.metadata.models import Branch

    with pfs.metadata.session() as session:
        row = session.get_one(Branch, ("images", branch))
        row.trigger = {**row.trigger, "since": moment.isoformat()}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"branch": "staging", "size": "1K"}, Trigger("staging", size="1K")),
        ({"branch": "staging", "size_bytes": 10, "all": True}, Trigger("staging", all=True, size=10)),
        ({"branch": "staging", "rate_limit_spec": "@daily"}, Trigger("staging", rate_limit="@daily")),
        (
            {"branch": "staging", "cron_spec": "0 6 * * *", "size": "", "commits": 0},
            Trigger("staging", cron="0 6 * * *"),
        ),
        ({"branch": "staging", "cron": "@every 1h30m"}, Trigger("staging", cron="@every 1h30m")),
    ],
)
def test_triggers_are_read_from_mappings(given, read):
    assert Trigger.of(given) == read
    assert Trigger.of(read.to_dict()) == read
    assert Trigger.of(read) is read


@pytest.mark.parametrize(
    ("size", "size_bytes"),
    [
        (5, 5),
        ("5", 5),
        ("1K", 1000),
        ("1k", 1000),
        ("1KB", 1000),
        ("1Ki", 1024),
        ("1.5G", 1_500_000_000),
        ("2 MB", 2_000_000),
    ],
)
def test_sizes_are_decimal_unless_they_say_otherwise(size, size_bytes):
    assert Trigger("staging", size=size).size_bytes == size_bytes


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"branch": ""},
        {"branch": "a.b"},
        {"branch": 3},
        {"branch": "s", "size": "many"},
        {"branch": "s", "size": -1},
        {"branch": "s", "size": "-1K"},
        {"branch": "s", "commits": -1},
        {"branch": "s", "commits": "three"},
        {"branch": "s", "rate_limit": "hourly"},
        {"branch": "s", "cron": "* * * * * *"},
        {"branch": "s", "cron": "@reboot"},
        {"branch": "s", "cron": "61 * * * *"},
        {"branch": "s", "cron": "@every 0s"},
        {"branch": "s", "cron": "@daily", "commits": 1},
        {"branch": "s", "cron": "@daily", "all": True},
        {"branch": "s", "often": True},
        {"branch": "s", "size": 1, "size_bytes": 2},
    ],
)
def test_triggers_that_cannot_be_meant_are_refused(given):
    with pytest.raises((InvalidArgument, InvalidName)):
        Trigger.of(given)


def test_the_old_meaning_of_cron_is_explained():
    with pytest.raises(InvalidArgument, match="rate_limit"):
        Trigger("staging", cron="@hourly", commits=3)


def test_a_branch_follows_after_so_many_commits(images):
    images.create_branch("images@master", trigger=Trigger("staging", commits=2))
    put(images)
    assert head(images, "master") is None
    second = put(images)
    assert head(images, "master") == second
    put(images)
    assert head(images, "master") == second
    fourth = put(images)
    assert head(images, "master") == fourth
    moves = [info.id for info in images.subscribe_commit("images@master", start=f"images@{second}", timeout=0)]
    assert moves[-1] == fourth


def test_a_branch_follows_after_so_many_bytes_and_deletions_count_against(images):
    images.create_branch("images@master", trigger={"branch": "staging", "size": "1K"})
    put(images, data=b"x" * 900)
    images.delete_file("images@staging:/a")
    put(images, path="/b", data=b"x" * 900)
    assert head(images, "master") is None
    full = put(images, path="/c", data=b"x" * 100)
    assert head(images, "master") == full
    images.delete_file("images@staging:/b")
    put(images, path="/d", data=b"x" * 1000)
    assert head(images, "master") == full
    assert put(images, path="/e", data=b"x" * 900) == head(images, "master")


def test_any_condition_will_do_unless_all_are_asked_for(images):
    images.create_branch("images@any", trigger=Trigger("staging", size=100, commits=2))
    images.create_branch("images@both", trigger=Trigger("staging", all=True, size=100, commits=2))
    first = put(images, data=b"x" * 100)
    assert (head(images, "any"), head(images, "both")) == (first, None)
    second = put(images, path="/b")
    assert (head(images, "any"), head(images, "both")) == (first, second)


def test_without_conditions_all_follows_every_move_and_any_none(images):
    images.create_branch("images@always", trigger=Trigger("staging", all=True))
    images.create_branch("images@never", trigger=Trigger("staging"))
    first = put(images)
    assert (head(images, "always"), head(images, "never")) == (first, None)


def test_the_first_commit_passes_a_rate_limit_and_later_ones_wait(images):
    images.create_branch("images@master", trigger=Trigger("staging", rate_limit="0 0 1 1 *"))
    first = put(images)
    assert head(images, "master") == first
    put(images)
    assert head(images, "master") == first
    moves_at(images, "master", datetime.now(UTC) - timedelta(days=366))
    third = put(images)
    assert head(images, "master") == third


def test_a_commit_that_was_open_fires_when_it_is_finished(images):
    images.create_branch("images@master", trigger=Trigger("staging", commits=1))
    with images.commit("images@staging") as commit:
        commit.put_file("/a", b"1")
        commit.settle()
        assert head(images, "master") is None
    assert head(images, "master") == commit.id


def test_a_commit_with_an_error_fires_nothing(images):
    images.create_branch("images@master", trigger=Trigger("staging", all=True))
    images.start_commit("images@staging")
    images.finish_commit("images@staging", error="broken")
    assert head(images, "master") is None


def test_an_output_commit_fires(images):
    images.create_branch("images@master", trigger=Trigger("staging", commits=1))
    output = images.start_output_commit("images@staging")
    with images.metadata.session() as session:
        images.publish_output_commit(session, output, images.tree(f"images@{put(images, 'elsewhere')}"), seen_head=None)
    assert head(images, "master") == output


def test_moving_the_source_by_hand_fires_and_undoing_a_commit_does_not(images):
    images.create_branch("images@master", trigger=Trigger("staging", all=True))
    first, second = put(images, "other"), put(images, "other")
    images.create_branch("images@staging", head=f"images@{second}")
    assert head(images, "master") == second
    images.create_branch("images@staging", head=f"images@{first}")
    assert head(images, "master") == first
    images.create_branch("images@master", head=f"images@{second}")
    images.put_file("images@staging:/b", b"1")
    images.create_branch("images@master", head=f"images@{second}")
    images.drop_commit("images@staging")
    assert (head(images, "staging"), head(images, "master")) == (first, second)


def test_triggers_chain(images):
    images.create_branch("images@tested", trigger=Trigger("staging", commits=1))
    images.create_branch("images@master", trigger=Trigger("tested", commits=2))
    first = put(images)
    assert (head(images, "tested"), head(images, "master")) == (first, None)
    second = put(images)
    assert (head(images, "tested"), head(images, "master")) == (second, second)
    images.drop_commit("images@staging")
    assert {head(images, name) for name in ("staging", "tested", "master")} == {first}


def test_a_follower_starts_with_what_a_downstream_commit_gets(images):
    """Deferred processing by trigger: what derives from master sees staging's commits when they arrive there."""
    images.create_repo("edges")
    images.create_branch("images@master", trigger=Trigger("staging", commits=2))
    images.create_branch("edges@master", provenance=["images@master"])
    put(images)
    images.put_file("edges@master:/early", b"")
    assert images.provenance("edges@master") == []
    second = put(images)
    images.put_file("edges@master:/e", b"")
    assert [str(info) for info in images.provenance("edges@master")] == [f"images@{second}"]


def test_a_trigger_stays_until_it_is_taken_away(images):
    trigger = Trigger("staging", commits=1)
    images.create_branch("images@master", trigger=trigger)
    first = put(images)
    images.create_branch("images@master", head=f"images@{first}")
    assert images.inspect_branch("images@master").trigger == trigger
    assert images.create_branch("images@master", trigger={}).trigger is None
    put(images)
    assert head(images, "master") == first


def test_a_branch_cannot_follow_itself_or_in_a_circle(images):
    with pytest.raises(InvalidArgument, match="circle"):
        images.create_branch("images@master", trigger=Trigger("master", commits=1))
    images.create_branch("images@b", trigger=Trigger("a", commits=1))
    images.create_branch("images@c", trigger=Trigger("b", commits=1))
    with pytest.raises(InvalidArgument, match="a follows c follows b follows a"):
        images.create_branch("images@a", trigger=Trigger("c", commits=1))


def test_a_branch_has_a_trigger_or_provenance(images):
    images.create_branch("images@raw")
    images.create_branch("images@derived", provenance=["images@raw"])
    with pytest.raises(InvalidArgument, match="both a trigger and provenance"):
        images.create_branch("images@derived", trigger=Trigger("raw", commits=1))
    images.create_branch("images@follower", trigger=Trigger("raw", commits=1))
    with pytest.raises(InvalidArgument, match="both a trigger and provenance"):
        images.create_branch("images@follower", provenance=["images@raw"])
    changed = images.create_branch("images@derived", trigger=Trigger("raw", commits=1), provenance=[])
    assert (changed.provenance, changed.trigger) == ((), Trigger("raw", commits=1))


def test_a_branch_that_others_follow_is_kept_unless_forced(images):
    images.create_branch("images@staging")
    images.create_branch("images@master", trigger=Trigger("staging", commits=1))
    with pytest.raises(HasDependents, match="images@master"):
        images.delete_branch("images@staging")
    images.delete_branch("images@staging", force=True)
    assert images.inspect_branch("images@master").trigger is None


def test_a_follower_with_an_open_commit_moves_below_it(images):
    images.create_branch("images@master", trigger=Trigger("staging", all=True))
    put(images)
    images.start_commit("images@master")
    images.put_file("images@master:/mine", b"1")
    theirs = put(images, path="/theirs")
    info = images.finish_commit("images@master")
    assert info.parent == f"images@{theirs}"
    assert [file.path for file in images.list_file("images@master:/")] == ["/a", "/mine", "/theirs"]


def scheduled(images, cron="0 * * * *"):
    """master follows staging at every full hour since 8; staging moved at 9:30, 10:30 and 11:30."""
    images.create_branch("images@master", trigger=Trigger("staging", cron=cron))
    told_at(images, "master", NOON.replace(hour=8))
    ids = [put(images) for _ in range(3)]
    moves_at(images, "staging", *(NOON.replace(hour=hour, minute=30) for hour in (9, 10, 11)))
    return ids


def test_a_schedule_takes_what_was_there_at_its_time(images):
    ids = scheduled(images)
    assert head(images, "master") is None
    assert images.tick_triggers(NOON.replace(hour=9, minute=45)) == []
    moved = images.tick_triggers(NOON.replace(hour=10, minute=1))
    assert [(str(one), one.head) for one in moved] == [("images@master", ids[0])]
    assert images.tick_triggers(NOON.replace(hour=10, minute=59)) == []
    images.tick_triggers(NOON.replace(hour=13))
    assert head(images, "master") == ids[2]
    assert images.tick_triggers(NOON.replace(hour=13)) == []
    assert [info.id for info in images.subscribe_commit("images@master", timeout=0)][-1] == ids[2]


def test_a_schedule_does_not_undo_what_was_done_by_hand(images):
    ids = scheduled(images)
    images.tick_triggers(NOON)
    images.create_branch("images@master", head=f"images@{ids[0]}")
    moves_at(images, "master", NOON, NOON.replace(minute=10))
    assert images.tick_triggers(NOON.replace(minute=30)) == []
    images.tick_triggers(NOON.replace(hour=13))
    assert head(images, "master") == ids[2]


def test_a_schedule_begins_when_it_is_told_to(images):
    scheduled(images)
    told_at(images, "master", NOON.replace(minute=30))
    assert images.tick_triggers(NOON.replace(minute=45)) == []
    assert len(images.tick_triggers(NOON.replace(hour=13))) == 1


def test_a_schedule_starts_a_chain(images):
    ids = scheduled(images)
    images.create_branch("images@released", trigger=Trigger("master", all=True))
    images.tick_triggers(NOON)
    assert head(images, "released") == ids[2]


def test_removed_commits_are_not_brought_back_by_a_schedule(images):
    ids = scheduled(images)
    images.drop_commit("images@staging")
    images.tick_triggers(NOON)
    assert head(images, "master") == ids[1]


def test_every_counts_from_its_start(images):
    start = NOON
    every = Schedule("@every 90m")
    assert every.last_until(start + timedelta(minutes=89), start) is None
    assert every.last_until(start + timedelta(minutes=200), start) == start + timedelta(minutes=180)
    assert every.next_after(start) == start + timedelta(minutes=90)


def test_schedules_that_never_come():
    for text in ("@never", "0 0 30 2 *"):
        assert Schedule(text).next_after(NOON) is None
        assert Schedule(text).last_until(NOON, NOON - timedelta(days=400)) is None


def test_a_schedule_counts_its_own_minute_as_come():
    assert Schedule("0 * * * *").last_until(NOON, NOON - timedelta(minutes=5)) == NOON
    assert Schedule("0 * * * *").last_until(NOON, NOON) is None
    assert Schedule("@hourly").next_after(NOON) == NOON + timedelta(hours=1)
