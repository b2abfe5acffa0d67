"""Rows against their copies in the bucket, both ways: a copy that is missing would be missed when SQL is lost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_pachy.errors import ObjectNotFound
from airflow_pachy.metadata.models import Commit, HeadMove
from airflow_pachy.pfs import mirror, mirroring, record_copies, record_mirrors
from airflow_pachy.pfs.rows import pages, row_document
from airflow_pachy.pfs.upkeep.belonging import strangers
from airflow_pachy.pfs.upkeep.clock import store_now
from airflow_pachy.pfs.upkeep.findings import Finding, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_pachy.pfs.objects.store import ObjectStore
    from airflow_pachy.pfs.root import Root
    from airflow_pachy.pfs.upkeep.marking import Progress

_BATCH = 500
_READS = 16


def check_copies(root: Root, progress: Progress) -> Iterator[Finding]:
    """Copies that are missing, differ, or tell of more than the database knows."""
    now = store_now(root.store)
    with ThreadPoolExecutor(_READS, thread_name_prefix="copies") as pool:
        for batch in _batches(_wanted(root)):
            bodies = pool.map(partial(_read, root.store), [key for key, _, _ in batch])
            progress("compare", len(batch))
            for (key, wanted, what), body in zip(batch, bodies, strict=True):
                if wanted is not None and not _same(body, wanted):
                    state = "has no copy in the bucket" if body is None else "differs from its copy in the bucket"
                    problem = Problem(f"{what} {state}", key, "--fix writes it")
                    yield Finding(problem, partial(root.store.put, key, wanted))
    for what, key in strangers(root, now):
        advice = (
            "if this is not the right database, or an old backup, rebuild it with --rebuild; else delete the object"
        )
        yield Finding(Problem(f"it is the copy of {what}", key, advice))


def _wanted(root: Root) -> Iterator[tuple[str, bytes | None, str]]:
    """Where copies should lie, what they should say (None: anything may), and whose they are."""
    ids = (row.id for row in pages(root, select(Commit.id), (Commit.id,)))
    while batch := list(islice(ids, _BATCH)):
        with root.metadata.reader() as session:
            mirrors = {one.id: one for one in mirroring.mirrors_of(session, batch)}
        for one in batch:
            body = mirrors[one].to_json() if one in mirrors else None
            yield mirror.mirror_key(one), body, f"commit {one}"
    for kind, key in record_mirrors.record_keys(root, leave_out={"moves"}):
        with root.metadata.reader() as session:
            document = record_mirrors.record_document(session, kind, key)
        body = None if document is None else record_copies.encode_record(document)
        yield record_copies.record_key(kind, key), body, f"{kind} {' '.join(key)}"
    yield from _wanted_moves(root)


def _wanted_moves(root: Root) -> Iterator[tuple[str, bytes | None, str]]:
    """A move of a head needs a copy if no commit tells of it."""
    table = record_mirrors.table_of(HeadMove)
    keys = (HeadMove.repo, HeadMove.branch, HeadMove.ordinal)
    told = (
        (Commit.id == HeadMove.commit)
        & (Commit.repo == HeadMove.repo)
        & (Commit.branch == HeadMove.branch)
        & (Commit.ordinal == HeadMove.ordinal)
    )
    query = select(*keys, HeadMove.commit, HeadMove.moved, HeadMove.author, Commit.id.label("told"))
    for row in pages(root, query.outerjoin(Commit, told), keys):
        key = (row.repo, row.branch, str(row.ordinal))
        values = {column.name: getattr(row, column.name) for column in table.columns}
        document = {"format": record_copies.FORMAT, table.name: [row_document(table, values)]}
        body = None if row.told is not None else record_copies.encode_record(document)
        yield record_copies.record_key("moves", key), body, f"move {row.ordinal} of {row.repo}@{row.branch}"


def _batches(wanted: Iterator[tuple[str, bytes | None, str]]) -> Iterator[list[tuple[str, bytes | None, str]]]:
    while batch := list(islice(wanted, _BATCH)):
        yield batch


def _read(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except ObjectNotFound:
        return None


def _same(body: bytes | None, wanted: bytes) -> bool:
    return body is not None and (body == wanted or _settled(body) == _settled(wanted))


def _settled(body: bytes) -> Any:
    """What a copy says, without what changes all the time and is told elsewhere."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    for table, volatile in _VOLATILE.items():
        for row in document.get(table, ()) if isinstance(document, dict) else ():
            for name in volatile:
                row.pop(name, None)
    if isinstance(document, dict) and "provenance" in document:
        document["provenance"] = sorted(document["provenance"])
    return document


_VOLATILE = {"pachy_branch": ("head", "ordinal", "open_commit"), "pachy_job": ("heartbeat",)}
