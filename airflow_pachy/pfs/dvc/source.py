"""`dvc://`: a file or directory of a DVC project at a git revision, put together with where it came from.

Putting the same path of the same project at the same place again carries over what changed between the two
revisions: files whose MD5 is the same are not read, and those that are gone are deleted, as far as nobody has changed
them here since.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import BranchNotFound, InvalidArgument, NotFound, PathNotFound, Unavailable
from airflow_pachy.pfs import commits
from airflow_pachy.pfs.address import Address
from airflow_pachy.pfs.dvc.origins import Origin, numbered
from airflow_pachy.pfs.dvc.project import Project, Tracked, open_project
from airflow_pachy.pfs.dvc.urls import Place, parse_url
from airflow_pachy.pfs.paths import clean_path, join_path, shown_path
from airflow_pachy.pfs.sources.requests import Found, Request, stored
from airflow_pachy.pfs.tree.entries import Change, Entry, Put, Remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_pachy.pfs.overlay import Overlay
    from airflow_pachy.pfs.tree import Tree

_LOOK_BACK_COMMITS = 500
_log = logging.getLogger(__name__)


def put(request: Request) -> None:
    """Put what the URL names; a directory needs no `recursive`, since the project says that it is one."""
    place = parse_url(request.url)
    options = request.take("remote_config", "config")
    if request.append:
        raise InvalidArgument(f"{place} cannot be appended: a path of a DVC project is put as it is")
    if request.split is not None:
        raise InvalidArgument(
            f"{place} cannot be split as it is put, since its origin would be lost; put it, then split it"
        )
    with open_project(place, options) as project:
        is_directory, md5 = project.inspect(place.path)
        target = request.address.path or ""
        if not is_directory and not target:
            raise InvalidArgument(
                f"{place} is a file, so the address needs a file name: {request.address.commit}:/name"
            )
        origin = Origin(place.shown, place.path, shown_path(target), project.rev or "", md5)
        former = _former(request, place, origin, options)
        with request.puts.new_writer() as writer:
            plan = _plan(request, project, place, former)
            if not plan.new and not plan.kept:
                raise PathNotFound(f"{place} has no files; check path and rev")
            entries = list(stored(request, plan.new, writer))
            writer.flush()
            put_at = [Entry(_at(target, one.path), one.content, one.executable, None, one.mtime_us) for one in entries]
            labels = {**request.labels, **origin.labels({**_labels(request), **request.labels})}
            request.puts.apply(request.address, Ingested(put_at, plan.gone), labels)


@dataclass(frozen=True, slots=True)
class Ingested:
    """New and changed files, and those to delete unless somebody has changed them since."""

    entries: Sequence[Entry]
    gone: Sequence[Entry] = ()
    optional: bool = False
    blind: bool = False

    def changes(self, files: Overlay) -> Iterator[Change]:
        """Deletions before puts: a directory may have become a file."""
        for entry in self.gone:
            if _is_same(files.entry(entry.path), entry):
                yield Remove(entry.path)
        yield from (Put(entry) for entry in self.entries)


@dataclass(frozen=True, slots=True)
class _Former:
    """An earlier put of the same: the project's files then, by path below it, and the commit's files then and now."""

    tracked: Mapping[str, Tracked]
    then: Tree
    now: Tree

    def untouched(self, path: str) -> Entry | None:
        """The file as it was put, if it still is."""
        before = self.then.get(path)
        return before if before is not None and _is_same(self.now.get(path), before) else None


@dataclass(slots=True)
class _Plan:
    new: list[Found] = field(default_factory=list)
    gone: list[Entry] = field(default_factory=list)
    kept: int = 0


def _plan(request: Request, project: Project, place: Place, former: _Former | None) -> _Plan:
    plan = _Plan()
    target = request.address.path or ""
    seen: set[str] = set()
    for tracked in project.files(place.path):
        below = clean_path(tracked.path[len(place.path) :]) if tracked.path != place.path else ""
        seen.add(below)
        if former is not None and _is_unchanged(
            tracked, former.tracked.get(below), former.untouched(_at(target, below))
        ):
            plan.kept += 1
            request.told.add(1, 0)
        else:
            plan.new.append(Found(below, partial(project.open, tracked), tracked.executable))
    if former is not None:
        left = (former.untouched(_at(target, below)) for below in former.tracked.keys() - seen)
        plan.gone = sorted((entry for entry in left if entry is not None), key=lambda entry: entry.path.encode())
    return plan


def _is_unchanged(tracked: Tracked, before: Tracked | None, here: Entry | None) -> bool:
    return before is not None and here is not None and bool(tracked.md5) and tracked.md5 == before.md5


def _former(request: Request, place: Place, origin: Origin, options: Mapping[str, Any]) -> _Former | None:
    """What the last put of the same made, if it is among the last commits and its revision can still be read.

    One that cannot be read costs time, not data: a warning says so, and everything is read.
    """
    found = _last_put(request, origin)
    if found is None:
        return None
    commit, rev = found
    try:
        then = request.puts.files_at(commit)
        now = request.puts.files_at(request.address.commit)
        with open_project(Place(place.repository, place.path, rev, place.remote), options) as project:
            tracked = {
                clean_path(one.path[len(place.path) :]) if one.path != place.path else "": one
                for one in project.files(place.path)
            }
    except (NotFound, InvalidArgument, Unavailable) as error:
        # The revision of then may be gone (a force-push, `dvc gc`), or the data of that commit (retention).
        _log.warning(
            "%s is read whole, and files that it no longer has stay in %s: what was put from revision %s as commit %s "
            "cannot be compared with (%s)",
            place, request.address.commit, rev[:12], commit, error,
        )  # fmt: skip
        return None
    return _Former(tracked, then, now)


def _last_put(request: Request, origin: Origin) -> tuple[Address, str] | None:
    """The newest commit that the same was put into, and the revision of then."""
    try:
        history = commits.list_commits(request.puts.root, request.address.commit)
        for info in islice(history, _LOOK_BACK_COMMITS):
            known = next((one for _, one in numbered(info.labels) if one.key == origin.key and one.rev), None)
            if known is not None:
                return Address(info.repo, info.id), known.rev
    except BranchNotFound:
        # The first put makes the branch.
        return None
    return None


def _labels(request: Request) -> Mapping[str, str]:
    """Labels of the open commit that the request goes to."""
    commit = request.puts.open_target(request.address)
    return (commit.labels or {}) if commit is not None else {}


def _at(target: str, below: str) -> str:
    return join_path(target, below) if below else target


def _is_same(present: Entry | None, entry: Entry) -> bool:
    return present is not None and present.content.hash == entry.content.hash and present.executable == entry.executable
