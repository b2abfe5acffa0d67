"""Giving a DVC project a path of a commit: a `.dvc` file in the project, and the bytes in one of its remotes.

What the remote has already is not sent again. DVC names contents by MD5, we by BLAKE3, so each content is read once to
learn its MD5; the project remembers that (`md5s.py`), and a later export reads only what is new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument, PathNotFound
from airflow_pachy.pfs.dvc.md5s import KnownMd5s
from airflow_pachy.pfs.dvc.remotes import Target, open_target
from airflow_pachy.pfs.dvc.sending import Sender
from airflow_pachy.pfs.paths import below, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from airflow_pachy.pfs.files import Files
    from airflow_pachy.pfs.tree.entries import Entry

JOBS = 8


@dataclass(frozen=True, slots=True)
class DvcExport:
    """What was exported: the `.dvc` file, DVC's hash of the data, and how much the remote did not have yet."""

    dvc_file: Path
    md5: str
    remote: str
    file_count: int
    size_bytes: int
    sent_files: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Wish:
    """Where to export to: a directory in a DVC project, by which name, through which remote."""

    directory: Path
    name: str | None = None
    remote: str | None = None
    remote_url: str | None = None
    s3: Mapping[str, Any] | None = None
    jobs: int = JOBS


def export_dvc(files: Files, path: str, wish: Wish, progress: Callable[[int, int], None] | None = None) -> DvcExport:
    """Export what is at `path`. `progress(files, bytes)` hears what was done since its last call.

    The `.dvc` file is written last, so it never promises what the remote lacks. Raises `PathNotFound`,
    `InvalidArgument` for a project or remote that cannot be used, `Unavailable` for one that does not answer.
    """
    single = files.tree.get(path) if path else None
    if single is None:
        files.node(path)
    entries = [single] if single is not None else list(files.tree.entries(f"{path}/" if path else ""))
    if not entries:
        raise PathNotFound(f"there are no files at {files.commit}:{shown_path(path, directory=True)} to export")
    name = _name(wish.name, path, files.commit)
    with open_target(wish.directory, wish.remote, wish.remote_url, wish.s3) as target:
        with KnownMd5s(target.scratch) as known:
            sender = Sender(files.reader, target.objects, known, wish.jobs, progress)
            md5s = sender.send(entries)
        size_bytes = sum(entry.content.size_bytes for entry in entries)
        if single is not None:
            out: dict[str, Any] = {"md5": md5s[0], "size": size_bytes}
        else:
            manifest = _manifest(entries, md5s, path)
            out = {"md5": sender.send_manifest(manifest), "size": size_bytes, "nfiles": len(entries)}
        dvc_file = _write(target, name, out, files.commit, path)
    return DvcExport(
        dvc_file, str(out["md5"]), target.remote, len(entries), size_bytes, sender.sent_files, sender.sent_bytes
    )


def _name(given: str | None, path: str, commit: str) -> str:
    name = given or path.rpartition("/")[2] or commit.partition("@")[0]
    if "/" in name or name in {".", ".."} or name.endswith(".dvc"):
        raise InvalidArgument(f"{name!r} cannot be the name of data in a DVC project; give one file or directory name")
    return name


def _manifest(entries: Sequence[Entry], md5s: Sequence[str], path: str) -> bytes:
    """A directory's list of files, byte for byte as DVC writes it: its MD5 is the directory's."""
    rows = [{"md5": md5, "relpath": below(entry.path, path)} for entry, md5 in zip(entries, md5s, strict=True)]
    return json.dumps(sorted(rows, key=lambda row: row["relpath"]), sort_keys=True).encode()


def _write(target: Target, name: str, out: dict[str, Any], commit: str, path: str) -> Path:
    """The `.dvc` file, and the line in `.gitignore` that keeps git from taking the data itself."""
    import yaml

    repo, _, commit_id = commit.partition("@")
    document = {
        "outs": [
            {**out, "hash": "md5", "path": name, **({} if target.is_default else {"remote": target.remote})},
        ],
        "desc": f"{commit}:{shown_path(path)}",
        "meta": {"pachy": {"repo": repo, "commit": commit_id, "path": shown_path(path)}},
    }
    dvc_file = target.directory / f"{name}.dvc"
    _replace(dvc_file, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    if target.in_git:
        ignored = target.directory / ".gitignore"
        lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.exists() else []
        if f"/{name}" not in lines:
            _replace(ignored, "\n".join([*lines, f"/{name}"]) + "\n")
    return dvc_file


def _replace(path: Path, text: str) -> None:
    """Write a file that is never seen half."""
    partial = path.with_name(f".{path.name}.pachy-partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
