"""Pipelines in SQL: a pipeline comes to be, and gets its next version, when a job of it is planned."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_pachy.errors import AlreadyExists, PipelineStopped
from airflow_pachy.metadata.contention import retried
from airflow_pachy.metadata.models import BranchProvenance, Pipeline, PipelineVersion, Repo
from airflow_pachy.pipelines.datums import DatumIdentity
from airflow_pachy.pipelines.inputs.fed import make_own_sources

if TYPE_CHECKING:
    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.spec import PipelineSpec


@dataclass(frozen=True, slots=True)
class RegisteredPipeline:
    """A pipeline as it is registered: what its datums are identified by."""

    name: str
    version: int
    identity: DatumIdentity


def register_pipeline(pfs: Pfs, spec: PipelineSpec, author: str | None) -> RegisteredPipeline:
    """Record the spec, as a new version if it changed, and make the output repo and branch with their provenance.

    Raises `BranchNotFound` or `RepoNotFound` for an input that does not exist, `InvalidArgument` for a circle,
    `PipelineStopped`.
    """
    with pfs.metadata.reader() as session:
        row = session.get(Pipeline, spec.name)
        if row is not None and row.state == "stopped":
            raise PipelineStopped(
                f"pipeline {spec.name!r} is stopped ({row.reason}); let it go on with: pachy start pipeline {spec.name}"
            )
    make_sources_and_output(pfs, spec)
    return record_pipeline(pfs, spec, author)


def make_sources_and_output(pfs: Pfs, spec: PipelineSpec) -> None:
    """Make the repos that only this pipeline reads, its output repo and branch, and what that is computed from."""
    make_own_sources(pfs, spec.input)
    _make_output(pfs, spec)


def record_pipeline(
    pfs: Pfs, spec: PipelineSpec, author: str | None, *, managed: bool | None = None, new_salt: bool = False
) -> RegisteredPipeline:
    """Record the spec, as a new version if it changed; `new_salt` makes its datums new, `managed` as in `Pipeline`."""
    try:
        return _record(pfs, spec, author, managed=managed, new_salt=new_salt)
    except IntegrityError:
        # Another process registered it between our look and our insert.
        return _record(pfs, spec, author, managed=managed, new_salt=new_salt)


def known_identity(pfs: Pfs, spec: PipelineSpec) -> DatumIdentity | None:
    """What the datums of a pipeline are identified by; None if it was never registered."""
    with pfs.metadata.reader() as session:
        row = session.get(Pipeline, spec.name)
        return DatumIdentity(row.name, row.salt, spec.code_version) if row is not None else None


@retried
def _record(
    pfs: Pfs, spec: PipelineSpec, author: str | None, *, managed: bool | None, new_salt: bool
) -> RegisteredPipeline:
    document = spec.to_spec()
    now = datetime.now(UTC)
    with pfs.metadata.session() as session:
        row = session.get(Pipeline, spec.name, with_for_update=True)
        if row is None:
            row = Pipeline(
                name=spec.name, version=0, salt=spec.salt or secrets.token_hex(16), created=now, author=author
            )
            session.add(row)
        elif new_salt:
            row.salt = secrets.token_hex(16)
        if managed is not None:
            row.managed = managed
        # A stage says less than the spec its DAG was made from: what was created stays as it was created.
        kept = row.managed and managed is None
        if row.spec != document and not kept:
            row.version += 1
            row.spec, row.updated = document, now
            row.salt = spec.salt or row.salt
            row.output_repo, row.output_branch = spec.output_repo, spec.output_branch
            session.flush()
            version = PipelineVersion(name=row.name, version=row.version, spec=document, created=now, author=author)
            session.add(version)
        session.flush()
        return RegisteredPipeline(row.name, row.version, DatumIdentity(row.name, row.salt, spec.code_version))


def _make_output(pfs: Pfs, spec: PipelineSpec) -> None:
    upstream = {f"{leaf.repo}@{leaf.branch}" for leaf in spec.input.leaves() if leaf.commit is None}
    edges = BranchProvenance
    with pfs.metadata.reader() as session:
        exists = session.get(Repo, spec.output_repo) is not None
        query = select(edges).where(edges.repo == spec.output_repo, edges.branch == spec.output_branch)
        known = {f"{edge.upstream_repo}@{edge.upstream_branch}" for edge in session.scalars(query)}
    if not exists:
        # Another stage or user may make it meanwhile: that is all we want.
        with suppress(AlreadyExists):
            pfs.create_repo(spec.output_repo, description=spec.description or f"Output of pipeline {spec.name}.")
            if pfs.principal is not None:
                # Whoever runs the pipeline next time may write what it writes.
                pfs.grant(spec.output_repo, f"pipeline:{spec.name}", "WRITER")
    if known != upstream:
        pfs.create_branch(spec.output, provenance=sorted(upstream))
