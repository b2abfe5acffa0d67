"""The first tables

Revision ID: 0001
Revises:
Created: 2026-11-21
"""

import sqlalchemy as sa
from alembic import op

from airflow_pachy.metadata.types import UtcDateTime, ascii_key, long_text, utf8_key

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pachy_job",
        sa.Column("id", ascii_key(32), nullable=False),
        sa.Column("pipeline", ascii_key(128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("dag_id", utf8_key(250), nullable=False),
        sa.Column("run_id", utf8_key(250), nullable=False),
        sa.Column("stage", utf8_key(250), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("try_id", ascii_key(36), nullable=False),
        sa.Column("cleared", sa.Integer(), nullable=False),
        sa.Column("output_commit", ascii_key(32), nullable=True),
        sa.Column("output_repo", ascii_key(128), nullable=False),
        sa.Column("output_branch", ascii_key(128), nullable=False),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("datums_total", sa.BigInteger(), nullable=False),
        sa.Column("datums_processed", sa.BigInteger(), nullable=False),
        sa.Column("datums_skipped", sa.BigInteger(), nullable=False),
        sa.Column("datums_failed", sa.BigInteger(), nullable=False),
        sa.Column("datums_recovered", sa.BigInteger(), nullable=False),
        sa.Column("download_bytes", sa.BigInteger(), nullable=False),
        sa.Column("upload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("datums", long_text(), nullable=True),
        sa.Column("parts", long_text(), nullable=True),
        sa.Column("reprocess", sa.Boolean(), nullable=False),
        sa.Column("listing", ascii_key(32), nullable=True),
        sa.Column("deadline", UtcDateTime(), nullable=True),
        sa.Column("started", UtcDateTime(), nullable=False),
        sa.Column("finished", UtcDateTime(), nullable=True),
        sa.Column("heartbeat", UtcDateTime(), nullable=True),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.Column("error", long_text(), nullable=True),
        sa.Column("code", long_text(), nullable=True),
        sa.Column("images", long_text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pachy_job")),
        sa.UniqueConstraint("dag_id", "run_id", "stage", "round", name="uq_pachy_job_run"),
    )
    with op.batch_alter_table("pachy_job", schema=None) as batch_op:
        batch_op.create_index("ix_pachy_job_output", ["output_repo", "output_branch", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_pachy_job_output_commit"), ["output_commit"], unique=False)
        batch_op.create_index("ix_pachy_job_pipeline_started", ["pipeline", "started"], unique=False)
        batch_op.create_index(batch_op.f("ix_pachy_job_state"), ["state"], unique=False)

    op.create_table(
        "pachy_object",
        sa.Column("hash", ascii_key(64), nullable=False),
        sa.Column("object", ascii_key(128), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("used", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_pachy_object")),
    )
    with op.batch_alter_table("pachy_object", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pachy_object_object"), ["object"], unique=False)

    op.create_table(
        "pachy_removed_tree",
        sa.Column("commit", ascii_key(32), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("what", long_text(), nullable=False),
        sa.Column("removed", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("commit", "position", name=op.f("pk_pachy_removed_tree")),
    )
    with op.batch_alter_table("pachy_removed_tree", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pachy_removed_tree_removed"), ["removed"], unique=False)

    op.create_table(
        "pachy_pipeline",
        sa.Column("name", ascii_key(128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("salt", utf8_key(64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("output_repo", ascii_key(128), nullable=False),
        sa.Column("output_branch", ascii_key(128), nullable=False),
        sa.Column("memory", long_text(), nullable=True),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("reason", long_text(), nullable=True),
        sa.Column("managed", sa.Boolean(), nullable=False),
        sa.Column("from_newest", sa.Boolean(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("updated", UtcDateTime(), nullable=False),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pachy_pipeline")),
    )
    op.create_table(
        "pachy_pipeline_version",
        sa.Column("name", ascii_key(128), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.ForeignKeyConstraint(
            ["name"], ["pachy_pipeline.name"], name=op.f("fk_pachy_pipeline_version_name"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_pachy_pipeline_version")),
    )
    op.create_table(
        "pachy_standing",
        sa.Column("pipeline", ascii_key(128), nullable=False),
        sa.Column("kind", ascii_key(16), nullable=False),
        sa.Column("name", ascii_key(63), nullable=False),
        sa.Column("namespace", ascii_key(63), nullable=False),
        sa.Column("kubernetes_conn_id", utf8_key(250), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("commits", sa.JSON(), nullable=False),
        sa.Column("trees", sa.JSON(), nullable=False),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("message", long_text(), nullable=False),
        sa.Column("updated", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline"], ["pachy_pipeline.name"], name=op.f("fk_pachy_standing_pipeline"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pipeline", name=op.f("pk_pachy_standing")),
    )
    op.create_table(
        "pachy_spout_position",
        sa.Column("pipeline", ascii_key(128), nullable=False),
        sa.Column("life", ascii_key(32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("updated", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline"], ["pachy_pipeline.name"], name=op.f("fk_pachy_spout_position_pipeline"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pipeline", "life", name=op.f("pk_pachy_spout_position")),
    )
    op.create_table(
        "pachy_repo",
        sa.Column("name", ascii_key(128), nullable=False),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=True),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.Column("keep_last", sa.Integer(), nullable=True),
        sa.Column("keep_days", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pachy_repo")),
    )
    op.create_table(
        "pachy_branch",
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("name", ascii_key(128), nullable=False),
        sa.Column("head", ascii_key(32), nullable=True),
        sa.Column("open_commit", ascii_key(32), nullable=True),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("trigger", sa.JSON(), nullable=True),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.ForeignKeyConstraint(["repo"], ["pachy_repo.name"], name=op.f("fk_pachy_branch_repo"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("repo", "name", name=op.f("pk_pachy_branch")),
    )
    with op.batch_alter_table("pachy_branch", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pachy_branch_head"), ["head"], unique=False)

    op.create_table(
        "pachy_egress",
        sa.Column("id", ascii_key(32), nullable=False),
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("branch", ascii_key(128), nullable=False),
        sa.Column("url", long_text(), nullable=False),
        sa.Column("commit", ascii_key(32), nullable=False),
        sa.Column("finished", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["repo"], ["pachy_repo.name"], name=op.f("fk_pachy_egress_repo"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pachy_egress")),
    )
    op.create_table(
        "pachy_commit",
        sa.Column("id", ascii_key(32), nullable=False),
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("branch", ascii_key(128), nullable=False),
        sa.Column("parent", ascii_key(32), nullable=True),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=True),
        sa.Column("seen_ordinal", sa.BigInteger(), nullable=True),
        sa.Column("tree", long_text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.BigInteger(), nullable=False),
        sa.Column("started", UtcDateTime(), nullable=False),
        sa.Column("finished", UtcDateTime(), nullable=True),
        sa.Column("heartbeat", UtcDateTime(), nullable=True),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("origin", ascii_key(16), nullable=False),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.Column("error", long_text(), nullable=True),
        sa.Column("job", ascii_key(32), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=True),
        sa.Column("forgotten", UtcDateTime(), nullable=True),
        sa.Column("forgotten_by", utf8_key(250), nullable=True),
        sa.ForeignKeyConstraint(["repo"], ["pachy_repo.name"], name=op.f("fk_pachy_commit_repo"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pachy_commit")),
    )
    with op.batch_alter_table("pachy_commit", schema=None) as batch_op:
        batch_op.create_index("ix_pachy_commit_branch_ordinal", ["repo", "branch", "ordinal"], unique=False)
        batch_op.create_index(batch_op.f("ix_pachy_commit_job"), ["job"], unique=False)
        batch_op.create_index(batch_op.f("ix_pachy_commit_parent"), ["parent"], unique=False)
        batch_op.create_index("ix_pachy_commit_repo_started", ["repo", "started"], unique=False)
        batch_op.create_index(batch_op.f("ix_pachy_commit_state"), ["state"], unique=False)

    op.create_table(
        "pachy_datum_set",
        sa.Column("job", ascii_key(32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("datum_count", sa.BigInteger(), nullable=False),
        sa.Column("plan_key", ascii_key(250), nullable=False),
        sa.Column("state", ascii_key(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["pachy_job.id"], name=op.f("fk_pachy_datum_set_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "number", name=op.f("pk_pachy_datum_set")),
    )
    op.create_table(
        "pachy_grant",
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("principal", utf8_key(250), nullable=False),
        sa.Column("role", ascii_key(16), nullable=False),
        sa.ForeignKeyConstraint(["repo"], ["pachy_repo.name"], name=op.f("fk_pachy_grant_repo"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("repo", "principal", name=op.f("pk_pachy_grant")),
    )
    op.create_table(
        "pachy_tag",
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("name", ascii_key(128), nullable=False),
        sa.Column("commit", ascii_key(32), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.ForeignKeyConstraint(["repo"], ["pachy_repo.name"], name=op.f("fk_pachy_tag_repo"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("repo", "name", name=op.f("pk_pachy_tag")),
    )
    with op.batch_alter_table("pachy_tag", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pachy_tag_commit"), ["commit"], unique=False)

    op.create_table(
        "pachy_job_input",
        sa.Column("job", ascii_key(32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", utf8_key(128), nullable=False),
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("branch", ascii_key(128), nullable=False),
        sa.Column("commit", ascii_key(32), nullable=True),
        sa.Column("ordinal", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["pachy_job.id"], name=op.f("fk_pachy_job_input_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "position", name=op.f("pk_pachy_job_input")),
    )
    with op.batch_alter_table("pachy_job_input", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pachy_job_input_commit"), ["commit"], unique=False)

    op.create_table(
        "pachy_branch_provenance",
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("branch", ascii_key(128), nullable=False),
        sa.Column("upstream_repo", ascii_key(128), nullable=False),
        sa.Column("upstream_branch", ascii_key(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["repo", "branch"],
            ["pachy_branch.repo", "pachy_branch.name"],
            name=op.f("fk_pachy_branch_provenance_repo_branch"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "repo", "branch", "upstream_repo", "upstream_branch", name=op.f("pk_pachy_branch_provenance")
        ),
    )
    with op.batch_alter_table("pachy_branch_provenance", schema=None) as batch_op:
        batch_op.create_index("ix_pachy_branch_provenance_upstream", ["upstream_repo", "upstream_branch"], unique=False)

    op.create_table(
        "pachy_commit_provenance",
        sa.Column("commit", ascii_key(32), nullable=False),
        sa.Column("upstream", ascii_key(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["commit"], ["pachy_commit.id"], name=op.f("fk_pachy_commit_provenance_commit"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("commit", "upstream", name=op.f("pk_pachy_commit_provenance")),
    )
    with op.batch_alter_table("pachy_commit_provenance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pachy_commit_provenance_upstream"), ["upstream"], unique=False)

    op.create_table(
        "pachy_delta",
        sa.Column("commit", ascii_key(32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", ascii_key(250), nullable=False),
        sa.ForeignKeyConstraint(
            ["commit"], ["pachy_commit.id"], name=op.f("fk_pachy_delta_commit"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("commit", "sequence", name=op.f("pk_pachy_delta")),
    )
    op.create_table(
        "pachy_head_move",
        sa.Column("repo", ascii_key(128), nullable=False),
        sa.Column("branch", ascii_key(128), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("commit", ascii_key(32), nullable=True),
        sa.Column("moved", UtcDateTime(), nullable=False),
        sa.Column("author", utf8_key(250), nullable=True),
        sa.ForeignKeyConstraint(
            ["repo", "branch"],
            ["pachy_branch.repo", "pachy_branch.name"],
            name=op.f("fk_pachy_head_move_repo_branch"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repo", "branch", "ordinal", name=op.f("pk_pachy_head_move")),
    )
    with op.batch_alter_table("pachy_head_move", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pachy_head_move_commit"), ["commit"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("pachy_head_move", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_head_move_commit"))

    op.drop_table("pachy_head_move")
    op.drop_table("pachy_delta")
    with op.batch_alter_table("pachy_commit_provenance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_commit_provenance_upstream"))

    op.drop_table("pachy_commit_provenance")
    with op.batch_alter_table("pachy_branch_provenance", schema=None) as batch_op:
        batch_op.drop_index("ix_pachy_branch_provenance_upstream")

    op.drop_table("pachy_branch_provenance")
    with op.batch_alter_table("pachy_job_input", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_job_input_commit"))

    op.drop_table("pachy_job_input")
    with op.batch_alter_table("pachy_tag", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_tag_commit"))

    op.drop_table("pachy_tag")
    op.drop_table("pachy_grant")
    op.drop_table("pachy_datum_set")
    with op.batch_alter_table("pachy_commit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_commit_state"))
        batch_op.drop_index("ix_pachy_commit_repo_started")
        batch_op.drop_index(batch_op.f("ix_pachy_commit_parent"))
        batch_op.drop_index(batch_op.f("ix_pachy_commit_job"))
        batch_op.drop_index("ix_pachy_commit_branch_ordinal")

    op.drop_table("pachy_commit")
    with op.batch_alter_table("pachy_branch", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_branch_head"))

    op.drop_table("pachy_branch")
    op.drop_table("pachy_egress")
    op.drop_table("pachy_repo")
    op.drop_table("pachy_spout_position")
    op.drop_table("pachy_standing")
    op.drop_table("pachy_pipeline_version")
    op.drop_table("pachy_pipeline")
    with op.batch_alter_table("pachy_removed_tree", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_removed_tree_removed"))

    op.drop_table("pachy_removed_tree")
    with op.batch_alter_table("pachy_object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_object_object"))

    op.drop_table("pachy_object")
    with op.batch_alter_table("pachy_job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pachy_job_state"))
        batch_op.drop_index("ix_pachy_job_pipeline_started")
        batch_op.drop_index(batch_op.f("ix_pachy_job_output_commit"))
        batch_op.drop_index("ix_pachy_job_output")

    op.drop_table("pachy_job")
