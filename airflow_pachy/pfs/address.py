"""Addresses: `repo@branch`, `repo@commit`, with ancestry, and `:/path`.

    images                       the branch master of images
    images@staging               its branch staging
    images@master^2:/2024/a.png  a file, two commits before the head of master
    images@master.1              the first commit of master
    images@v1.2                  what is tagged v1.2

Ancestry is one of the marks `^`, `~` (back from the commit) and `.` (forward from the first one), followed by a
number or repeated. A path may hold any character, `@`, `:` and glob characters included, because the
text is cut at its first `:`, which no repo, branch or commit name can hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from airflow_pachy.errors import InvalidAddress
from airflow_pachy.pfs.names import check_branch_name, check_repo_name, check_tag_name, is_commit_id
from airflow_pachy.pfs.paths import clean_path, shown_path

DEFAULT_BRANCH = "master"

_ANCESTRY = re.compile(r"(?P<mark>[\^~.])(?:(?P<number>[+-]?[0-9]+)|(?P<repeats>(?P=mark)*))")
# Commits are counted from 1 and without leading zeros: v1.0 and 2026.05 are tags.
_FROM_START = re.compile(r"\.(?:[+-]?[1-9][0-9]*|\.*)")
_FORMS = "an address looks like repo@branch:/path, repo@commit^2:/path or repo@branch"


@dataclass(frozen=True, slots=True)
class Address:
    """A commit, or a path in one.

    `ref` is a branch name, a tag or a commit id. `ancestry` counts commits back from it when positive; when
    negative, `-n` means the n-th commit from the start. `path` has no leading
    slash; it is None when the address has no path part.
    """

    repo: str
    ref: str = DEFAULT_BRANCH
    ancestry: int = 0
    path: str | None = None

    @property
    def is_commit_id(self) -> bool:
        """Whether `ref` is the id of a commit and not a branch name."""
        return is_commit_id(self.ref)

    @property
    def tag(self) -> str | None:
        """The tag that may be meant, if the repo has it: `v1.2` reads like the second commit of a branch `v1`."""
        if self.is_commit_id or self.ancestry > 0:
            return None
        return f"{self.ref}.{-self.ancestry}" if self.ancestry else self.ref

    @property
    def commit(self) -> Address:
        """The same address without its path."""
        return replace(self, path=None)

    def with_path(self, path: str) -> Address:
        """The same commit with another path (with or without its leading slash)."""
        return replace(self, path=clean_path(path))

    def __str__(self) -> str:
        mark = "^" if self.ancestry > 0 else "."
        ancestry = f"{mark}{abs(self.ancestry)}" if self.ancestry else ""
        path = "" if self.path is None else f":{shown_path(self.path)}"
        return f"{self.repo}@{self.ref}{ancestry}{path}"


def parse_address(text: str) -> Address:
    """Read an address; raises `InvalidAddress`, `InvalidName` or `InvalidPath` saying which part is wrong."""
    commit_part, colon, path_part = text.partition(":")
    repo, at, ref_part = commit_part.partition("@")
    if not repo or (at and not ref_part):
        raise InvalidAddress(f"{text!r} is not an address: {_FORMS}")
    check_repo_name(repo)
    path = clean_path(path_part) if colon else None
    if not at:
        return Address(repo, path=path)
    ref, ancestry = _parse_ref(ref_part, text)
    return Address(repo, ref, ancestry, path)


def parse_branch(text: str) -> Address:
    """Read an address that must be a plain `repo@branch`; raises `InvalidAddress` for anything more."""
    address = parse_address(text)
    if address.is_commit_id:
        raise InvalidAddress(
            f"{text!r} names a commit, or would be a branch that looks like one (32 hex digits); here a branch is "
            f"meant, as in {address.repo}@{DEFAULT_BRANCH}"
        )
    if address.path is not None or address.ancestry or "." in address.ref:
        raise InvalidAddress(f"{text!r} must name a branch and nothing more, as in {address.repo}@{DEFAULT_BRANCH}")
    return address


def _parse_ref(text: str, whole: str) -> tuple[str, int]:
    cut = min((index for mark in "^~." if (index := text.find(mark)) >= 0), default=len(text))
    ref, rest = text[:cut], text[cut:]
    if rest.startswith(".") and "^" not in rest and "~" not in rest and not _FROM_START.fullmatch(rest):
        return check_tag_name(text), 0
    if not is_commit_id(ref):
        check_branch_name(ref)
    if not rest:
        return ref, 0
    match = _ANCESTRY.fullmatch(rest)
    if match is None:
        raise InvalidAddress(
            f"{rest!r} in {whole!r} is not ancestry: write one mark with a number (^2, ~2, .2) or repeat one mark (^^)"
        )
    number = match["number"]
    count = int(number) if number is not None else 1 + len(match["repeats"])
    return ref, -count if match["mark"] == "." else count
