"""The input that reads a repo: one datum for each path of the commit that its glob matches."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from airflow_pachy.pfs.tree import File
from airflow_pachy.pfs.tree.glob import compile_glob
from airflow_pachy.pfs.triggers import Trigger
from airflow_pachy.pipelines.inputs.base import Input, input_kind
from airflow_pachy.pipelines.inputs.finding import find_by_key
from airflow_pachy.pipelines.inputs.sources import Captures, DatumInput, InputChanges, identity_token

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree import Directory
    from airflow_pachy.pipelines.inputs.sources import Order, Source, SourceKey, Sources

InputTrigger = bool | dict[str, Any]
"""Whether commits start the pipeline, or a branch trigger as `airflow_pachy.pfs.triggers.Trigger` reads it."""

_ONE_PROJECT = "there are no projects here; repos have one flat name space, so prefix the repo's name instead"


@input_kind("pfs", "atom")
class PfsInput(Input):
    """Paths of `repo@branch` (or of one pinned `commit`) that match `glob`, each a datum seen at `/pfs/<name>`.

    `join_on` and `group_by` are for joins and groups around it: `$1` is what the glob's first group matched. With
    `trigger=False` commits of the branch do not start the pipeline; a mapping says when `branch` follows another one.
    With `incremental=False` a datum of an incremental pipeline always sees all of it.
    """

    refused: ClassVar[Mapping[str, str]] = {
        "project": _ONE_PROJECT,
        "repo_type": "only user repos are readable as inputs",
        "from_commit": "datums that were processed before are skipped anyway",
    }

    repo: str = Field(min_length=1)
    glob: str
    name: str = ""
    branch: str = "master"
    commit: str | None = None
    lazy: bool = False
    empty_files: bool = False
    join_on: str = ""
    outer_join: bool = False
    group_by: str = ""
    s3: bool = False
    trigger: InputTrigger = True
    incremental: bool = True

    @model_validator(mode="before")
    @classmethod
    def _say_what_glob_is_for(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not value.get("glob"):
            raise ValueError(
                "glob is required: '/' makes the whole repo one datum, '/*' every top-level file or directory"
            )
        return value

    @field_validator("glob")
    @classmethod
    def _glob_must_parse(cls, value: str) -> str:
        compile_glob(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _s3_is_the_whole_repo(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value.get("s3"):
            return value
        if value.get("glob") not in (None, "", "/") or value.get("lazy") or value.get("empty_files"):
            raise ValueError("an s3 input is the whole repo: its glob is '/', and it is neither lazy nor empty_files")
        return {**value, "glob": "/"}

    @field_validator("trigger", mode="before")
    @classmethod
    def _trigger_has_a_meaning(cls, value: Any) -> Any:
        if value is None:
            return True
        return Trigger.of(value).to_dict() if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _templates_fit_the_glob(self) -> Self:
        glob = compile_glob(self.glob)
        for name, template in (("join_on", self.join_on), ("group_by", self.group_by)):
            highest = max(map(int, re.findall(r"\$\{?(\d+)", template.replace("$$", ""))), default=0)
            # A glob that is a template itself is a plain word until it is rendered.
            if highest > glob.regex.groups and not glob.is_literal:
                raise ValueError(
                    f"{name} {template!r} uses group {highest}, but the glob {self.glob!r} has {glob.regex.groups}: "
                    "put ( ) around the part of the pattern that is meant, as in '/(*).csv'"
                )
        return self

    @field_validator("incremental", mode="before")
    @classmethod
    def _nothing_said_is_the_pipeline_s(cls, value: Any) -> Any:
        return True if value is None else value

    @field_validator("branch", mode="before")
    @classmethod
    def _no_branch_is_master(cls, value: Any) -> Any:
        return value or "master"

    @field_validator("commit", mode="before")
    @classmethod
    def _no_commit_is_the_head(cls, value: Any) -> Any:
        return value or None

    @model_validator(mode="after")
    def _name_defaults_to_repo(self) -> Self:
        if not self.name:
            object.__setattr__(self, "name", self.repo)
        if self.name == "out":
            raise ValueError("an input may not be named 'out': /pfs/out is where the code writes; give it a 'name'")
        if "/" in self.name or "\0" in self.name or self.name in (".", ".."):
            raise ValueError(f"an input's name becomes a directory under /pfs, so it cannot be {self.name!r}")
        if self.lazy and self.empty_files:
            raise ValueError("an input cannot be both lazy (files on demand) and empty_files (no content): choose one")
        return self

    @property
    def source(self) -> SourceKey:
        """Which commit it reads, as `Sources` knows it."""
        return (self.repo, self.branch, self.commit)

    @cached_property
    def captures(self) -> Captures | None:
        """The templates of joins and groups, if it has any."""
        return Captures(self.glob, self.join_on, self.group_by) if self.join_on or self.group_by else None

    @property
    def may_repeat(self) -> bool:
        """Paths differ, and so do the datums."""
        return False

    def leaves(self) -> Iterator[PfsInput]:
        """Itself."""
        yield self

    def check_names(self) -> None:
        """One input has no one to collide with."""

    def datums(self, sources: Sources) -> Iterator[tuple[DatumInput, ...]]:
        """One datum for each matched path, in path order."""
        source = sources.by_leaf[self.source]
        for found in source.tree.glob(self.glob):
            yield (self.datum_input(source, found),)

    def placed(self, sources: Sources) -> Iterator[tuple[Order, tuple[DatumInput, ...]]]:
        """By path; a directory sorts as if it ended with a slash."""
        source = sources.by_leaf[self.source]
        for found in source.tree.glob(self.glob):
            yield _order(found), (self.datum_input(source, found),)

    def changes(self, new: Sources, old: Sources, limit: int) -> InputChanges | None:
        """Of the paths that the two trees do not share, and the directories above them, those that match."""
        after, before = new.by_leaf[self.source], old.by_leaf[self.source]
        candidates = self._candidates(after, before, limit)
        if candidates is None:
            return None
        found = InputChanges([], [])
        for path in sorted(candidates):
            came, went = after.tree.stat(path), before.tree.stat(path)
            fresh = self.datum_input(after, came) if came is not None else None
            stale = self.datum_input(before, went) if went is not None else None
            if fresh is not None and stale is not None and fresh.token == stale.token:
                continue
            if came is not None and fresh is not None:
                found.added.append((_order(came), (fresh,)))
            if stale is not None:
                found.removed.append((stale,))
        return found

    def _candidates(self, after: Source, before: Source, limit: int) -> set[str] | None:
        glob = compile_glob(self.glob)
        if glob.is_root or glob.is_literal:
            return {glob.literal_prefix}
        seen: set[str] = set()
        matching: set[str] = set()
        for count, change in enumerate(after.tree.diff(before.tree, glob.literal_prefix, contents=False)):
            if count >= limit:
                return None
            path = change.path
            while path and path not in seen:
                seen.add(path)
                if glob.matches(path):
                    matching.add(path)
                path = path.rpartition("/")[0]
        return matching

    def rows_with_keys(
        self, sources: Sources, keys: Collection[str], template_name: str
    ) -> dict[str, list[tuple[Order, tuple[DatumInput, ...]]]]:
        """By key, what `find_by_key` finds."""
        source = sources.by_leaf[self.source]
        rows: dict[str, list[tuple[Order, tuple[DatumInput, ...]]]] = {}
        for key, found in find_by_key(source.tree, self.glob, str(getattr(self, template_name)), keys):
            rows.setdefault(key, []).append((_order(found), (self.datum_input(source, found),)))
        return rows

    def lists(self, sources: Sources, row: tuple[DatumInput, ...]) -> bool:
        """Whether the path matches, is there, and has this content."""
        (item,) = row if len(row) == 1 else (None,)
        if item is None or item.name != self.name or not _matches(self.glob, item.path):
            return False
        source = sources.by_leaf[self.source]
        found = source.tree.stat(item.path)
        return found is not None and self.datum_input(source, found).token == item.token

    def datum_input(self, source: Source, found: File | Directory) -> DatumInput:
        """The datum input for one path of the source."""
        if isinstance(found, File):
            path, size, content_hash = found.entry.path, found.entry.content.size_bytes, found.entry.content.hash
        else:
            path, size, content_hash = found.path, found.size_bytes, source.tree.hash_of(found.path)
        token = identity_token(self.name.encode(), path, content_hash)
        return DatumInput(
            self.name,
            self.repo,
            self.branch,
            source.commit,
            path,
            content_hash,
            size,
            self.lazy,
            self.empty_files,
            token,
            self.captures,
        )

    def to_spec(self) -> dict[str, Any]:
        """`{"pfs": {...}}` without defaults."""
        return {"pfs": self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}}


def _order(found: File | Directory) -> str:
    return found.path if isinstance(found, File) else f"{found.path}/"


def _matches(pattern: str, path: str) -> bool:
    glob = compile_glob(pattern)
    return not path if glob.is_root else glob.matches(path)
