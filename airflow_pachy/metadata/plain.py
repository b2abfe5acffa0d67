"""Commits of a single call on SQLite without SQLAlchemy, whose import takes longer than putting some files.

Only the plain case, which is most of what a command line does: a branch that has a head (or is to be made, in a repo
without tags) and no open commit, in a repo where no branch follows another by a trigger, and computed from nothing. For
all else, and whenever anything goes wrong, the answer is "no", and `oneshot_rows` does it in a session: it has the
errors that explain. What is written is what that would write; tests compare both, row by row.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_pachy.metadata.glance import stored_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_pachy.metadata.glance import Glance

_NO_TRIGGER = 'NOT EXISTS (SELECT 1 FROM pachy_branch f WHERE f.repo = :repo AND f."trigger" IS NOT NULL)'
_NO_PROVENANCE = "NOT EXISTS (SELECT 1 FROM pachy_branch_provenance p WHERE p.repo = :repo AND p.branch = :branch)"
_NO_TAG = "NOT EXISTS (SELECT 1 FROM pachy_tag t WHERE t.repo = :repo)"
_NO_BRANCH = "NOT EXISTS (SELECT 1 FROM pachy_branch b WHERE b.repo = :repo AND b.name = :branch)"

_HEAD = f"""
    SELECT b.head, b.ordinal, c.tree FROM pachy_branch b JOIN pachy_commit c ON c.id = b.head
    WHERE b.repo = :repo AND b.name = :branch AND b.open_commit IS NULL AND c.forgotten IS NULL
    AND {_NO_TRIGGER} AND {_NO_PROVENANCE}
"""  # noqa: S608 - constants
_NONE_YET = f"SELECT 1 FROM pachy_repo r WHERE r.name = :repo AND {_NO_BRANCH} AND {_NO_TAG} AND {_NO_TRIGGER}"  # noqa: S608 - constants
_MOVE = f"""
    UPDATE pachy_branch SET head = :commit, ordinal = :ordinal + 1
    WHERE repo = :repo AND name = :branch AND head = :head AND ordinal = :ordinal AND open_commit IS NULL
    AND {_NO_TRIGGER} AND {_NO_PROVENANCE}
"""  # noqa: S608 - constants
_BRANCH_COLUMNS = ("repo", "name", "head", "open_commit", "ordinal", "trigger", "created", "author")
_MAKE = f"""
    INSERT INTO pachy_branch (repo, name, head, ordinal, created, author)
    SELECT r.name, :branch, :commit, 1, :now, :author FROM pachy_repo r
    WHERE r.name = :repo AND {_NO_BRANCH} AND {_NO_TAG} AND {_NO_TRIGGER}
"""  # noqa: S608 - constants
_RECORD = """
    INSERT INTO pachy_head_move (repo, branch, ordinal, "commit", moved, author)
    VALUES (:repo, :branch, :ordinal + 1, :commit, :now, :author)
"""


@dataclass(frozen=True, slots=True)
class PlainHead:
    """What a commit is built on; `head` and `tree` are None for a branch that is to be made."""

    repo: str
    branch: str
    head: str | None
    ordinal: int
    tree: str | None


def plain_head(glance: Glance, repo: str, branch: str) -> PlainHead | None:
    """Where a branch is, or would begin; None where a commit on it is not plain."""
    names = {"repo": repo, "branch": branch}
    found = glance.ask(_HEAD, names)
    if found is not None:
        head, ordinal, tree = found
        return PlainHead(repo, branch, head, ordinal, tree)
    return None if glance.ask(_NONE_YET, names) is None else PlainHead(repo, branch, None, 0, None)


def publish(
    glance: Glance,
    start: PlainHead,
    commit: Mapping[str, Any],
    copy_branch: Callable[[Mapping[str, Any]], None],
) -> bool:
    """Insert a commit, given as its columns, and move the branch to it; False if nothing was done.

    `copy_branch` gets the row of a branch that is made, right before the transaction ends; what it raises ends it.
    """
    now = datetime.now(UTC)
    values = {
        "repo": start.repo,
        "branch": start.branch,
        "head": start.head,
        "ordinal": start.ordinal,
        "commit": commit["id"],
        "author": commit["author"],
        "now": _stored(now),
    }
    try:
        with glance.writing() as connection:
            if connection.execute(_MAKE if start.head is None else _MOVE, values).rowcount != 1:
                return False
            connection.execute(_RECORD, values)
            connection.execute(_insert(commit), {name: _stored(value) for name, value in commit.items()})
            if start.head is None:
                row = (start.repo, start.branch, commit["id"], None, 1, None, now.isoformat(), commit["author"])
                copy_branch(dict(zip(_BRANCH_COLUMNS, row, strict=True)))
    except sqlite3.Error:
        return False
    return True


def _insert(commit: Mapping[str, Any]) -> str:
    names = ", ".join(commit)
    places = ", ".join(f":{name}" for name in commit)
    return f"INSERT INTO pachy_commit ({names}) VALUES ({places})"  # noqa: S608 - names of columns


def _stored(value: Any) -> Any:
    """A value as the types of the models keep it in SQLite."""
    if isinstance(value, datetime):
        return stored_time(value)
    return json.dumps(value) if isinstance(value, dict) else value
