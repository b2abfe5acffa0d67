"""Subscribing to a branch: history, then news, whatever happens to the branch meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from airflow_pachy.errors import BranchNotFound, CommitNotFound, InvalidArgument
from airflow_pachy.metadata.models import Branch, HeadMove
from airflow_pachy.pfs import Trigger


def put(pfs, branch="master", data=b"1"):
    pfs.put_file(f"images@{branch}:/a", data)
    return pfs.inspect_branch(f"images@{branch}").head


def given(stream, count=None):
    found = []
    for info in stream:
        found.append(info.id)
        if len(found) == count:
            break
    return found


def test_branches_and_repos_of_similar_names_are_others(images):
    images.create_repo("images2")
    images.put_file("images2@master:/a", b"1")
    wanted = [put(images), put(images)]
    put(images, "master2")
    put(images, "maste")
    assert given(images.subscribe_commit("images@master", timeout=0)) == wanted


def test_open_commits_come_once_if_asked_for(images):
    first = put(images)
    commit = images.start_commit("images@master")
    assert given(images.subscribe_commit("images@master", timeout=0)) == [first]
    stream = images.subscribe_commit("images@master", state="open", timeout=30)
    assert given(stream, 2) == [first, commit.id]
    images.finish_commit(commit)
    later = put(images)
    assert next(stream).id == later
    with pytest.raises(InvalidArgument, match="finished or open"):
        images.subscribe_commit("images@master", state="done")


def test_a_commit_with_an_error_is_never_given(images):
    images.start_commit("images@master")
    images.finish_commit("images@master", error="broken")
    later = put(images)
    assert given(images.subscribe_commit("images@master", timeout=0)) == [later]


def test_a_start_that_was_rolled_back_still_has_its_place(images):
    ids = [put(images) for _ in range(3)]
    images.create_branch("images@master", head=f"images@{ids[0]}")
    new = put(images)
    stream = images.subscribe_commit("images@master", start=f"images@{ids[1]}", timeout=0)
    assert given(stream) == [ids[2], ids[0], new]
    with pytest.raises(CommitNotFound, match="never the head"):
        given(images.subscribe_commit("images@master", start=f"images@{put(images, 'other')}", timeout=0))


def test_more_moves_than_one_page_are_all_given(images):
    first, second = put(images), put(images)
    moves = [
        {"repo": "images", "branch": "master", "ordinal": number, "commit": second, "moved": datetime.now(UTC)}
        for number in range(3, 1203)
    ]
    with images.metadata.session() as session:
        session.execute(insert(HeadMove), moves)
        session.get_one(Branch, ("images", "master")).ordinal = 1202
    other = put(images, "other")
    images.create_branch("images@master", head=f"images@{other}")
    stream = images.subscribe_commit("images@master", start=f"images@{first}", timeout=0)
    assert given(stream) == [second] * 1201 + [other]


def test_a_branch_that_is_made_again_starts_anew(images):
    ids = [put(images), put(images)]
    stream = images.subscribe_commit("images@master", timeout=30)
    assert given(stream, 2) == ids
    images.delete_branch("images@master")
    new = put(images)
    assert next(stream).id == new
    images.delete_branch("images@master")
    with pytest.raises(BranchNotFound):
        next(stream)


def test_schedules_are_kept_while_somebody_subscribes(images):
    images.create_branch("images@nightly", trigger=Trigger("master", cron="@every 1m"))
    commit = put(images)
    long_ago = datetime.now(UTC) - timedelta(days=1)
    with images.metadata.session() as session:
        row = session.get_one(Branch, ("images", "nightly"))
        row.trigger = {**row.trigger, "since": long_ago.isoformat()}
        session.get_one(HeadMove, ("images", "master", 1)).moved = long_ago
    assert given(images.subscribe_commit("images@nightly", timeout=30), 1) == [commit]
