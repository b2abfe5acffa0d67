"""Putting a directory again reads only what may have changed, and nothing that changed is missed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_pachy.pfs.batch_rows import BatchRows
from airflow_pachy.pfs.local_directories import LocalDirectory
from airflow_pachy.pfs.scanning import KNOWN, LARGE, READ
from airflow_pachy.pfs.seen_files import SeenFiles
from airflow_pachy.user_cache import cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_pachy.pfs import Pfs

BRANCH = "images@master:/"
LONG_AGO_NS = 1_600_000_000 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, one of them too large to be read in one piece."""
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "one.bin").write_bytes(b"1" * 1000)
    (folder / "a" / "two.bin").write_bytes(b"2" * 1000)
    (folder / "large.bin").write_bytes(b"3" * (3 << 20))
    return folder


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock says that all files were made long ago."""
    soon = staticmethod(lambda: 4_000_000_000 * 10**9)
    of = SeenFiles.of
    monkeypatch.setattr(SeenFiles, "of", lambda *given: replace(of(*given), clock_ns=soon))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that are read."""
    names: list[str] = []
    table, read_one = BatchRows.table, BatchRows._read_one

    def see(self):
        batch = self._batch
        names.extend(
            os.path.basename(path) for path, kind in zip(batch.paths, batch.kinds, strict=True) if kind == READ
        )
        return table(self)

    def read(self, file, present):
        names.append(os.path.basename(self._batch.paths[file]))
        return read_one(self, file, present)

    monkeypatch.setattr(BatchRows, "table", see)
    monkeypatch.setattr(BatchRows, "_read_one", read)
    return names


@pytest.fixture
def repo(pfs: Pfs) -> Pfs:
    pfs.create_repo("images")
    return pfs


def put(pfs: Pfs, folder: Path, reads: list[str], **options: bool) -> list[str]:
    """Put the folder; the files that were read for it."""
    reads.clear()
    pfs.put_dir(BRANCH, folder, **options)
    return list(reads)


@pytest.mark.usefixtures("later")
def test_files_that_did_not_change_are_not_read_again(repo: Pfs, folder: Path, reads: list[str]) -> None:
    assert put(repo, folder, reads) == ["one.bin", "two.bin", "large.bin"]
    tree = repo.tree("images@master").root
    assert put(repo, folder, reads) == []
    assert repo.tree("images@master").root == tree
    assert repo.get_file("images@master:/a/two.bin") == b"2" * 1000


@pytest.mark.usefixtures("later")
def test_all_files_are_read_when_asked_for(repo: Pfs, folder: Path, reads: list[str]) -> None:
    put(repo, folder, reads)
    assert put(repo, folder, reads, read_all=True) == ["one.bin", "two.bin", "large.bin"]
    assert put(repo, folder, reads) == []


@pytest.mark.usefixtures("later")
def test_a_change_behind_size_and_time_is_noticed(repo: Pfs, folder: Path, reads: list[str]) -> None:
    changed = folder / "a" / "one.bin"
    os.utime(changed, ns=(LONG_AGO_NS, LONG_AGO_NS))
    put(repo, folder, reads)
    changed.write_bytes(b"9" * 1000)
    os.utime(changed, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert put(repo, folder, reads) == ["one.bin"]
    assert repo.get_file("images@master:/a/one.bin") == b"9" * 1000


@pytest.mark.usefixtures("later")
def test_a_file_that_another_one_took_the_place_of_is_noticed(repo: Pfs, folder: Path, reads: list[str]) -> None:
    one, two = folder / "a" / "one.bin", folder / "a" / "two.bin"
    for path in (one, two):
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    put(repo, folder, reads)
    one.rename(folder / "a" / "x"), two.rename(one), (folder / "a" / "x").rename(two)
    assert put(repo, folder, reads) == ["one.bin", "two.bin"]
    assert repo.get_file("images@master:/a/one.bin") == b"2" * 1000


@pytest.mark.usefixtures("later")
def test_what_is_remembered_of_one_directory_says_nothing_of_another(
    repo: Pfs, folder: Path, tmp_path: Path, reads: list[str]
) -> None:
    other = tmp_path / "other"
    (other / "a").mkdir(parents=True)
    (other / "a" / "one.bin").write_bytes(b"7" * 1000)
    for path in (folder, other):
        os.utime(path / "a" / "one.bin", ns=(LONG_AGO_NS, LONG_AGO_NS))
    put(repo, folder, reads)
    assert put(repo, other, reads) == ["one.bin"]
    assert repo.get_file("images@master:/a/one.bin") == b"7" * 1000


@pytest.mark.usefixtures("later")
def test_a_file_that_the_commit_has_otherwise_is_put_back(repo: Pfs, folder: Path, reads: list[str]) -> None:
    put(repo, folder, reads)
    repo.put_file("images@master:/a/one.bin", b"of somebody else")
    repo.delete_file("images@master:/large.bin")
    assert put(repo, folder, reads) == ["one.bin", "large.bin"]
    assert repo.get_file("images@master:/a/one.bin") == b"1" * 1000
    assert repo.inspect_file("images@master:/large.bin").size_bytes == 3 << 20


@pytest.mark.usefixtures("later")
def test_new_and_removed_files_do_not_confuse_the_memory(repo: Pfs, folder: Path, reads: list[str]) -> None:
    put(repo, folder, reads)
    (folder / "a" / "one.bin").unlink()
    (folder / "a" / "between").write_bytes(b"new")
    (folder / "zz").write_bytes(b"new")
    assert put(repo, folder, reads) == ["between", "zz"]
    assert put(repo, folder, reads) == []


def test_files_changed_a_moment_ago_are_read_again(repo: Pfs, folder: Path, reads: list[str]) -> None:
    os.utime(folder / "a" / "one.bin", ns=(LONG_AGO_NS, LONG_AGO_NS))  # its inode was changed only now
    assert len(put(repo, folder, reads)) == 3
    assert len(put(repo, folder, reads)) == 3


@pytest.mark.usefixtures("later")
def test_a_new_time_or_mode_is_recorded_without_storing_the_file_again(
    repo: Pfs, folder: Path, reads: list[str]
) -> None:
    put(repo, folder, reads)
    before = repo.tree("images@master").get("a/one.bin")
    (folder / "a" / "one.bin").chmod(0o755)
    os.utime(folder / "a" / "one.bin", ns=(LONG_AGO_NS, LONG_AGO_NS))
    put(repo, folder, reads)
    after = repo.tree("images@master").get("a/one.bin")
    assert (after.content, after.executable, after.mtime_us) == (before.content, True, LONG_AGO_NS // 1000)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("damage", [b"", b"something else", None])
def test_a_damaged_memory_costs_time_only(damage: bytes | None, repo: Pfs, folder: Path, reads: list[str]) -> None:
    put(repo, folder, reads)
    memory = SeenFiles.of(folder, os.environ).file
    memory.write_bytes(memory.read_bytes()[:-100] if damage is None else damage)
    put(repo, folder, reads)
    assert set(reads) <= {"one.bin", "two.bin", "large.bin"}
    assert put(repo, folder, reads) == []


@pytest.mark.usefixtures("later")
def test_a_cache_that_cannot_be_written_is_done_without(
    repo: Pfs, folder: Path, tmp_path: Path, reads: list[str], monkeypatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PACHY_CACHE", str(tmp_path / "file" / "below"))
    assert len(put(repo, folder, reads)) == 3
    assert len(put(repo, folder, reads)) == 3
    assert repo.get_file("images@master:/a/one.bin") == b"1" * 1000


def test_a_put_that_fails_halfway_remembers_nothing(folder: Path, tmp_path: Path) -> None:
    seen = SeenFiles(tmp_path / "memory" / "x.seen", lambda: 4_000_000_000 * 10**9)
    ((began_ns, batch),) = LocalDirectory(folder, seen).batches()
    notes = seen.take_down(began_ns)
    notes.add(batch)
    notes.close()
    assert not list(seen.file.parent.iterdir())
    ((_, batch),) = LocalDirectory(folder, seen).batches()
    assert list(batch.kinds) == [READ, READ, LARGE]


def test_of_a_batch_only_what_was_changed_a_moment_ago_is_left_out(folder: Path, tmp_path: Path) -> None:
    seen = SeenFiles(tmp_path / "memory" / "x.seen", lambda: 4_000_000_000 * 10**9)
    soon = 5_000_000_000 * 10**9
    os.utime(folder / "a" / "two.bin", ns=(soon, soon))
    for kinds in ([READ, READ, LARGE], [KNOWN, READ, KNOWN]):
        ((began_ns, batch),) = LocalDirectory(folder, seen).batches()
        assert list(batch.kinds) == kinds
        notes = seen.take_down(began_ns)
        notes.add(batch)
        notes.keep()


def test_only_the_directories_put_last_are_remembered(folder: Path, tmp_path: Path) -> None:
    for number in range(70):
        seen = SeenFiles(tmp_path / f"{number}.seen", lambda: 4_000_000_000 * 10**9)
        ((began_ns, batch),) = LocalDirectory(folder, seen).batches()
        notes = seen.take_down(began_ns)
        notes.add(batch)
        notes.keep()
        os.utime(tmp_path / f"{number}.seen", ns=(number, number))
    assert len(list(tmp_path.glob("*.seen"))) == 64
    assert not (tmp_path / "0.seen").exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PACHY_CACHE": "/here"}, "/here"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/airflow-pachy"),
        ({"XDG_CACHE_HOME": "relative"}, "~/.cache/airflow-pachy"),
        ({}, "~/.cache/airflow-pachy"),
    ],
)
def test_where_the_memory_is(environment: dict[str, str], expected: str) -> None:
    assert str(cache_directory(environment)) == os.path.expanduser(expected)
