"""Looking after the root: what users call."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_pachy.pfs.client.base import Client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow_pachy.pfs.upkeep.extract import ArchiveInfo
    from airflow_pachy.pfs.upkeep.findings import Problem
    from airflow_pachy.pfs.upkeep.keepers import Keeper
    from airflow_pachy.pfs.upkeep.marking import Progress
    from airflow_pachy.pfs.upkeep.report import GcReport
    from airflow_pachy.pfs.upkeep.retention import Retention


class UpkeepVerbs(Client):
    """Collect garbage, check, repair, back up and restore a root. What does it is imported when it is used."""

    def gc(
        self,
        *,
        dry_run: bool = True,
        grace: timedelta = timedelta(days=7),
        keep_last: int | None = None,
        keep_days: int | None = None,
        max_age: timedelta = timedelta(days=3),
        keepers: Sequence[Keeper] = (),
        force: bool = False,
        progress: Progress | None = None,
    ) -> GcReport:
        """Delete objects that nothing needs any more; by default only tell which.

        `grace` is the longest that any writer may take from its first look at the data until it publishes, and how long
        removed data stays. `keep_last` and `keep_days` are the retention of repos that have none of their own; open
        commits without a write for `max_age` are given up, and so are jobs that neither planned, recorded a datum nor
        assembled for as long. `progress(phase, done)` hears of objects.

        Deletes nothing and raises `Corrupt` if anything needed cannot be read, and `Conflict`, unless `force`, if the
        bucket knows of repos or commits that the database does not: then it is not the database of this bucket.
        """
        from airflow_pachy.pfs.upkeep.gc import Collection
        from airflow_pachy.pfs.upkeep.marking import silent
        from airflow_pachy.pfs.upkeep.retention import Retention

        return Collection(
            self._root,
            dry_run=dry_run,
            grace=grace,
            max_age=max_age,
            retention=Retention(keep_last, keep_days),
            keepers=keepers,
            force=force,
            progress=progress or silent,
        ).run()

    def fsck(
        self, *, fix: bool = False, rebuild: bool = False, deep: bool = False, progress: Progress | None = None
    ) -> list[Problem]:
        """Check the root and tell what is wrong; `fix` repairs what can be repaired, `deep` reads all contents.

        `rebuild` instead fills an empty database from the copies in the bucket and tells what it left out. Raises
        `Conflict` for a database that is not empty.
        """
        from airflow_pachy.pfs.upkeep.fsck import Check
        from airflow_pachy.pfs.upkeep.marking import silent
        from airflow_pachy.pfs.upkeep.rebuild import rebuild as rebuild_database

        if rebuild:
            return rebuild_database(self._root, progress or silent)
        return list(Check(self._root, fix=fix, deep=deep, progress=progress or silent).problems())

    def extract(self, target: Path | str, *, objects: bool = True, progress: Progress | None = None) -> ArchiveInfo:
        """Write everything of the root into an archive: a tar file, or below a URL (`s3://`, `file://`).

        Without `objects`, only what SQL knows. Raises `AlreadyExists`, `InvalidArgument`, and `Corrupt` when something
        that is needed cannot be read.
        """
        from airflow_pachy.pfs.upkeep.archive import as_place
        from airflow_pachy.pfs.upkeep.extract import extract
        from airflow_pachy.pfs.upkeep.marking import silent

        return extract(self._root, as_place(target), objects=objects, progress=progress or silent)

    def restore(self, source: Path | str, *, progress: Progress | None = None) -> ArchiveInfo:
        """Fill an empty root from an archive; nothing is visible before all of it is there.

        After an interruption, restore the same archive again. Raises `Conflict` for a root that is not empty, `Corrupt`
        for an archive that is not whole.
        """
        from airflow_pachy.pfs.upkeep.archive import as_place
        from airflow_pachy.pfs.upkeep.marking import silent
        from airflow_pachy.pfs.upkeep.restore import restore

        return restore(self._root, as_place(source), progress=progress or silent)

    def set_retention(self, repo: str, *, keep_last: int | None = None, keep_days: int | None = None) -> None:
        """Say how many commits of each branch, and how many days, keep their data; neither: all do.

        What falls out is forgotten by the next garbage collection: its files go, its metadata and provenance stay.
        Raises `RepoNotFound`, `InvalidArgument`.
        """
        from airflow_pachy.pfs.upkeep import retention

        retention.set_retention(self._root, repo, retention.Retention(keep_last, keep_days))

    def retention(self, repo: str) -> Retention:
        """What is set for a repo. Raises `RepoNotFound`."""
        from airflow_pachy.pfs.upkeep import retention

        return retention.retention_of(self._root, repo)
