"""What repos, branches and commits may be called, and guesses at what a user meant."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from airflow_pachy.errors import InvalidName

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_LENGTH = 128

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TAG = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_COMMIT_ID = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """A fresh commit or job id: 32 hex digits, random."""
    return os.urandom(16).hex()


def is_commit_id(text: str) -> bool:
    """Whether the text has the form of a commit id."""
    return _COMMIT_ID.fullmatch(text) is not None


def check_repo_name(name: str) -> str:
    """Return `name`, or raise `InvalidName`."""
    return _check(name, "repo")


def check_branch_name(name: str) -> str:
    """Return `name`, or raise `InvalidName`: one that looks like a commit id would make addresses ambiguous."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", name):
        raise InvalidName(f"branch name {name!r} looks like a commit id (32 hex digits); choose another name")
    return _check(name, "branch")


def check_tag_name(name: str) -> str:
    """Return `name`, or raise `InvalidName`: like a branch's, with dots inside, as in v1.2.3."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", name):
        raise InvalidName(f"tag {name!r} looks like a commit id (32 hex digits); choose another name")
    if _TAG.fullmatch(name) is None:
        raise InvalidName(f"tag {name!r} is not allowed: use letters, digits, '_' and '-', with single dots inside")
    if len(name) > NAME_LENGTH:
        raise InvalidName(f"tag {name[:24]!r}... has {len(name)} characters; at most {NAME_LENGTH} are allowed")
    return name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence to append to an error message, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def _check(name: str, kind: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise InvalidName(f"{kind} name {name!r} is not allowed: use letters, digits, '_' and '-', at least one")
    if len(name) > NAME_LENGTH:
        raise InvalidName(f"{kind} name {name[:24]!r}... has {len(name)} characters; at most {NAME_LENGTH} are allowed")
    return name
