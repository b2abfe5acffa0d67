"""Datums: what one run of the user's code sees, and the identity by which a job knows that it is done already.

Identity is a hash of content and names, never of image or command (Pachyderm's rule): who wants a new
image to run everything again says so with `code_version` or `reprocess`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from airflow_pachy.pipelines.snapshot import input_of, open_sources, resolve_heads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.inputs import DatumInput, Input, Sources

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Datum:
    """One datum: its id (32 hex digits) and its inputs in the order of the spec."""

    id: str
    inputs: tuple[DatumInput, ...]


@dataclass(frozen=True, slots=True)
class DatumIdentity:
    """What besides its inputs makes a datum what it is."""

    pipeline: str = ""
    salt: str = ""
    code_version: str | None = None

    def prefix(self) -> bytes:
        """The bytes that are hashed before a datum's inputs; lengths keep neighbours apart."""
        parts = [self.pipeline.encode(), self.salt.encode()]
        if self.code_version is not None:
            parts.append(self.code_version.encode())
        return b"datum1:%d:" % len(parts) + b"".join(b"%d:%s" % (len(part), part) for part in parts)


def identify(rows: Iterator[tuple[DatumInput, ...]], identity: DatumIdentity) -> Iterator[Datum]:
    """Give each datum its id."""
    prefix = identity.prefix()
    for inputs in rows:
        digest = blake3(prefix + b"".join([item.token for item in inputs]))
        yield Datum(digest.hexdigest(length=ID_BYTES), inputs)


def enumerate_datums(node: Input, sources: Sources, identity: DatumIdentity) -> Iterator[Datum]:
    """The datums of an input in listing order, each once."""
    datums = identify(node.datums(sources), identity)
    return _distinct(datums) if node.may_repeat else datums


def _distinct(datums: Iterator[Datum]) -> Iterator[Datum]:
    seen: set[str] = set()
    for datum in datums:
        if datum.id not in seen:
            seen.add(datum.id)
            yield datum


def list_datums(
    pfs: Pfs,
    input: Mapping[str, Any] | Input,  # noqa: A002 - the name the spec has for it
    commits: Mapping[str, str] | None = None,
    *,
    identity: DatumIdentity | None = None,
) -> Iterator[Datum]:
    """The datums that an input makes of the present heads, without running anything.

    `input` is as in a spec: `{"pfs": {"repo": "images", "glob": "/*"}}`. `commits` reads other commits than the heads:
    a mapping from `repo@branch` to a commit id. Ids are those of a pipeline only if its `identity` is given.
    Raises `InvalidSpec`, `RepoNotFound`, `BranchNotFound`, `CommitNotFound`.
    """
    node = input_of(input)
    return enumerate_datums(
        node, open_sources(pfs, resolve_heads(pfs, node, commits or {})), identity or DatumIdentity()
    )
