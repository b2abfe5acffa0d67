"""The tables: names, history and the state of jobs. File trees and contents are in the bucket, never here.

Every table is prefixed `pachy_`, so that an operator may keep them beside Airflow's own. A `NodeRef`
(the root of a tree in the bucket) is one line of text. Timestamps are UTC. Strings that are states are
kept as text, not as database enums, because adding a state must not need a table rewrite.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, ForeignKeyConstraint, Index, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from airflow_pachy.metadata.types import UtcDateTime, ascii_key, long_text, utf8_key

NAME_LENGTH = 128
ID_LENGTH = 32
AIRFLOW_ID_LENGTH = 250
PRINCIPAL_LENGTH = 250
OBJECT_LENGTH = 128

# Constraint names must be the same on every backend, else migrations cannot address them.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base; `Base.metadata` is what migrations are compared with."""

    metadata = MetaData(naming_convention=NAMING)


class Repo(Base):
    """A named, versioned collection of files.

    `keep_last` and `keep_days` say which commits keep their data (see `pfs.upkeep.retention`); None: all do.
    """

    __tablename__ = "pachy_repo"

    name: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    description: Mapped[str] = mapped_column(long_text(), default="")
    labels: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))
    keep_last: Mapped[int | None] = mapped_column()
    keep_days: Mapped[int | None] = mapped_column()


class Branch(Base):
    """A name that points at a finished commit, and perhaps at the commit a user has open on it.

    `ordinal` counts the moves of `head`; whoever moves the head compares both with what it has seen.
    """

    __tablename__ = "pachy_branch"

    repo: Mapped[str] = mapped_column(
        ascii_key(NAME_LENGTH), ForeignKey("pachy_repo.name", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    head: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH), index=True)
    open_commit: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH))
    ordinal: Mapped[int] = mapped_column(BigInteger, default=0)
    trigger: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))


class BranchProvenance(Base):
    """A direct edge: `repo@branch` is computed from `upstream_repo@upstream_branch`."""

    __tablename__ = "pachy_branch_provenance"
    __table_args__ = (
        ForeignKeyConstraint(["repo", "branch"], ["pachy_branch.repo", "pachy_branch.name"], ondelete="CASCADE"),
        Index("ix_pachy_branch_provenance_upstream", "upstream_repo", "upstream_branch"),
    )

    repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    upstream_repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    upstream_branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)


class HeadMove(Base):
    """One move of a branch's head: the queue that consumers of a branch read, in order and without gaps in meaning.

    It has a row also when a branch is pointed at an old commit by hand, which no commit's own
    ordinal could tell (rollback, deferred processing).
    """

    __tablename__ = "pachy_head_move"
    __table_args__ = (
        ForeignKeyConstraint(["repo", "branch"], ["pachy_branch.repo", "pachy_branch.name"], ondelete="CASCADE"),
    )

    repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    ordinal: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    commit: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH), index=True)
    moved: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))


class Commit(Base):
    """A version of a repo's files.

    `state` is "open", "finished" or "error" (finished without being readable data for others).
    `ordinal` is the number of the move that made the commit the head of its branch, None before; `seen_ordinal` is
    the last move an open commit's writer saw. `tree` is the NodeRef of the commit's files (None: no
    files), and of an open commit the tree it started from. `heartbeat` says when an open commit was last written to.
    `forgotten` is when its data was given up, by whom: then `tree` is None while the counts still tell what there was.
    """

    __tablename__ = "pachy_commit"
    __table_args__ = (
        Index("ix_pachy_commit_branch_ordinal", "repo", "branch", "ordinal"),
        Index("ix_pachy_commit_repo_started", "repo", "started"),
    )

    id: Mapped[str] = mapped_column(ascii_key(ID_LENGTH), primary_key=True)
    repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), ForeignKey("pachy_repo.name", ondelete="CASCADE"))
    branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    parent: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH), index=True)
    state: Mapped[str] = mapped_column(ascii_key(16), index=True)
    ordinal: Mapped[int | None] = mapped_column(BigInteger)
    seen_ordinal: Mapped[int | None] = mapped_column(BigInteger)
    tree: Mapped[str | None] = mapped_column(long_text())
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    file_count: Mapped[int] = mapped_column(BigInteger, default=0)
    started: Mapped[datetime] = mapped_column(UtcDateTime)
    finished: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat: Mapped[datetime | None] = mapped_column(UtcDateTime)
    description: Mapped[str] = mapped_column(long_text(), default="")
    origin: Mapped[str] = mapped_column(ascii_key(16), default="user")
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))
    error: Mapped[str | None] = mapped_column(long_text())
    job: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH), index=True)
    labels: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    forgotten: Mapped[datetime | None] = mapped_column(UtcDateTime)
    forgotten_by: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))


class Tag(Base):
    """A name for one commit that never moves."""

    __tablename__ = "pachy_tag"

    repo: Mapped[str] = mapped_column(
        ascii_key(NAME_LENGTH), ForeignKey("pachy_repo.name", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    commit: Mapped[str] = mapped_column(ascii_key(ID_LENGTH), index=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))


class CommitProvenance(Base):
    """A direct edge: `commit` was computed from `upstream`."""

    __tablename__ = "pachy_commit_provenance"

    commit: Mapped[str] = mapped_column(
        ascii_key(ID_LENGTH), ForeignKey("pachy_commit.id", ondelete="CASCADE"), primary_key=True
    )
    upstream: Mapped[str] = mapped_column(ascii_key(ID_LENGTH), primary_key=True, index=True)


class Delta(Base):
    """One batch of changes of an open commit, in the bucket under `key`, applied in the order of `sequence`."""

    __tablename__ = "pachy_delta"

    commit: Mapped[str] = mapped_column(
        ascii_key(ID_LENGTH), ForeignKey("pachy_commit.id", ondelete="CASCADE"), primary_key=True
    )
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(ascii_key(250))


class Pipeline(Base):
    """A named stage as it was last planned: its spec, its version and what it remembers of processed datums.

    `state` is "running" or "stopped". `managed` says that the spec was given to `create pipeline`, so that the DAG
    comes from here; else the DAG file has it. `from_newest` makes the next job pass over what came while it was
    stopped.
    """

    __tablename__ = "pachy_pipeline"

    name: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), primary_key=True)
    version: Mapped[int] = mapped_column(default=1)
    salt: Mapped[str] = mapped_column(utf8_key(64))
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    output_repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    output_branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    memory: Mapped[str | None] = mapped_column(long_text())
    state: Mapped[str] = mapped_column(ascii_key(16), default="running")
    reason: Mapped[str | None] = mapped_column(long_text())
    managed: Mapped[bool] = mapped_column(Boolean(create_constraint=False), default=False)
    from_newest: Mapped[bool] = mapped_column(Boolean(create_constraint=False), default=False)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    updated: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))


class PipelineVersion(Base):
    """What a pipeline was in one of its versions: which code in which image made a file is asked years later."""

    __tablename__ = "pachy_pipeline_version"

    name: Mapped[str] = mapped_column(
        ascii_key(NAME_LENGTH), ForeignKey("pachy_pipeline.name", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))


class Job(Base):
    """One execution of a pipeline: (dag_id, run_id, stage) finds it again when its tasks are retried.

    A run that is cleared after its job has published gets another one: `round` counts them. `try_number` and `try_id`
    are the try of the task that planned the job last, by Airflow's number and id of it, and `cleared` says how often
    the run had been cleared by then.

    `code` is JSON: the image and code version that were asked for, and the version of the DAG; `images` are the ids, a
    digest in each, of the images that pods had, one a line. Both outlive the pipeline.
    """

    __tablename__ = "pachy_job"
    __table_args__ = (
        UniqueConstraint("dag_id", "run_id", "stage", "round", name="uq_pachy_job_run"),
        Index("ix_pachy_job_pipeline_started", "pipeline", "started"),
        Index("ix_pachy_job_output", "output_repo", "output_branch", "state"),
    )

    id: Mapped[str] = mapped_column(ascii_key(ID_LENGTH), primary_key=True)
    pipeline: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    version: Mapped[int] = mapped_column(default=1)
    dag_id: Mapped[str] = mapped_column(utf8_key(AIRFLOW_ID_LENGTH))
    run_id: Mapped[str] = mapped_column(utf8_key(AIRFLOW_ID_LENGTH))
    stage: Mapped[str] = mapped_column(utf8_key(AIRFLOW_ID_LENGTH))
    round: Mapped[int] = mapped_column(default=1)
    attempt: Mapped[int] = mapped_column(default=1)
    try_number: Mapped[int] = mapped_column(default=1)
    try_id: Mapped[str] = mapped_column(ascii_key(36), default="")
    cleared: Mapped[int] = mapped_column(default=0)
    output_commit: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH), index=True)
    output_repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    output_branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    state: Mapped[str] = mapped_column(ascii_key(16), index=True)
    datums_total: Mapped[int] = mapped_column(BigInteger, default=0)
    datums_processed: Mapped[int] = mapped_column(BigInteger, default=0)
    datums_skipped: Mapped[int] = mapped_column(BigInteger, default=0)
    datums_failed: Mapped[int] = mapped_column(BigInteger, default=0)
    datums_recovered: Mapped[int] = mapped_column(BigInteger, default=0)
    download_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    upload_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    datums: Mapped[str | None] = mapped_column(long_text())
    parts: Mapped[str | None] = mapped_column(long_text())
    reprocess: Mapped[bool] = mapped_column(Boolean(create_constraint=False), default=False)
    listing: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH))
    deadline: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started: Mapped[datetime] = mapped_column(UtcDateTime)
    finished: Mapped[datetime | None] = mapped_column(UtcDateTime)
    heartbeat: Mapped[datetime | None] = mapped_column(UtcDateTime)
    author: Mapped[str | None] = mapped_column(utf8_key(PRINCIPAL_LENGTH))
    error: Mapped[str | None] = mapped_column(long_text())
    code: Mapped[str | None] = mapped_column(long_text())
    images: Mapped[str | None] = mapped_column(long_text())

    inputs: Mapped[list["JobInput"]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="JobInput.position"
    )
    datum_sets: Mapped[list["DatumSet"]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="DatumSet.number"
    )


class JobInput(Base):
    """The commit a job read through one input. Names may repeat (union), positions do not.

    `ordinal` is the move of the branch that brought the commit: how far the pipeline has come in the branch's
    queue. None for a commit that was chosen by hand.
    """

    __tablename__ = "pachy_job_input"

    job: Mapped[str] = mapped_column(
        ascii_key(ID_LENGTH), ForeignKey("pachy_job.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(utf8_key(NAME_LENGTH))
    repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    commit: Mapped[str | None] = mapped_column(ascii_key(ID_LENGTH), index=True)
    ordinal: Mapped[int | None] = mapped_column(BigInteger)


class DatumSet(Base):
    """The datums one pod processes; `plan_key` is where its plan lies in the bucket."""

    __tablename__ = "pachy_datum_set"

    job: Mapped[str] = mapped_column(
        ascii_key(ID_LENGTH), ForeignKey("pachy_job.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    datum_count: Mapped[int] = mapped_column(BigInteger, default=0)
    plan_key: Mapped[str] = mapped_column(ascii_key(250))
    state: Mapped[str] = mapped_column(ascii_key(16))
    attempts: Mapped[int] = mapped_column(default=0)


class Egress(Base):
    """What lies at a target of egress: the last commit of the branch that was copied there whole.

    `id` is a hash of branch and target; `url` is the target without a password.
    """

    __tablename__ = "pachy_egress"

    id: Mapped[str] = mapped_column(ascii_key(ID_LENGTH), primary_key=True)
    repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH), ForeignKey("pachy_repo.name", ondelete="CASCADE"))
    branch: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    url: Mapped[str] = mapped_column(long_text())
    commit: Mapped[str] = mapped_column(ascii_key(ID_LENGTH))
    finished: Mapped[datetime] = mapped_column(UtcDateTime)


class Standing(Base):
    """What stands in the cluster for a pipeline that is a service or a spout: a Deployment, perhaps with a Service.

    `commits` is what it reads, by `repo@branch`. `trees` (NodeRefs) are kept from garbage collection, since a pod that
    moves to another node stages its files again; while it is replaced, those of both versions. `state` is "rolling",
    "running" or "failed", and `message` says what was last seen of it.
    """

    __tablename__ = "pachy_standing"

    pipeline: Mapped[str] = mapped_column(
        ascii_key(NAME_LENGTH), ForeignKey("pachy_pipeline.name", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(ascii_key(16))
    name: Mapped[str] = mapped_column(ascii_key(63))
    namespace: Mapped[str] = mapped_column(ascii_key(63))
    kubernetes_conn_id: Mapped[str | None] = mapped_column(utf8_key(AIRFLOW_ID_LENGTH))
    version: Mapped[int] = mapped_column(default=1)
    commits: Mapped[dict[str, str]] = mapped_column(JSON)
    trees: Mapped[list[str]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(ascii_key(16))
    message: Mapped[str] = mapped_column(long_text(), default="")
    updated: Mapped[datetime] = mapped_column(UtcDateTime)


class SpoutPosition(Base):
    """How far the batches of one life of a spout's helper are committed: everything up to `sequence` is."""

    __tablename__ = "pachy_spout_position"

    pipeline: Mapped[str] = mapped_column(
        ascii_key(NAME_LENGTH), ForeignKey("pachy_pipeline.name", ondelete="CASCADE"), primary_key=True
    )
    life: Mapped[str] = mapped_column(ascii_key(ID_LENGTH), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    updated: Mapped[datetime] = mapped_column(UtcDateTime)


class StoredObject(Base):
    """Where the bytes of a large chunk lie, so that later commits need not store them again.

    `hash` is the chunk's content hash in hex; its bytes are `[position, position + size_bytes)` of `object`. `used` is
    when somebody last relied on the row: garbage collection keeps the object for a while after that, and otherwise
    deletes the row before the object.
    """

    __tablename__ = "pachy_object"

    hash: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    object: Mapped[str] = mapped_column(ascii_key(OBJECT_LENGTH), index=True)
    position: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    used: Mapped[datetime] = mapped_column(UtcDateTime)


class RemovedTree(Base):
    """What a removed or forgotten commit led to: kept from garbage collection for as long as a writer may take.

    Whoever reads a commit may build on it (copy from it, skip an upload because it has the bytes) although it is
    removed meanwhile. `what` is a NodeRef, or the key of a batch of changes of a commit that was open; `position`
    tells them apart: 0 is the tree, n the batch n. `metadata.removed` writes these rows, garbage collection deletes
    them.
    """

    __tablename__ = "pachy_removed_tree"

    commit: Mapped[str] = mapped_column(ascii_key(ID_LENGTH), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    repo: Mapped[str] = mapped_column(ascii_key(NAME_LENGTH))
    what: Mapped[str] = mapped_column(long_text())
    removed: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Grant(Base):
    """What a principal may do with a repo: "READER", "WRITER" or "OWNER"."""

    __tablename__ = "pachy_grant"

    repo: Mapped[str] = mapped_column(
        ascii_key(NAME_LENGTH), ForeignKey("pachy_repo.name", ondelete="CASCADE"), primary_key=True
    )
    principal: Mapped[str] = mapped_column(utf8_key(PRINCIPAL_LENGTH), primary_key=True)
    role: Mapped[str] = mapped_column(ascii_key(16))
