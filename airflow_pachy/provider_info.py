"""What Airflow reads about this provider without importing the rest of it.

The connection form of the UI comes from here alone, so the fields are named as `airflow_pachy.hooks.settings`
reads them; a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from airflow_pachy import __version__

_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_OPERATORS = ("datum_map", "plan", "datum_set", "assemble", "files", "branches", "egress", "feed")
_TRIGGERS = ("commits", "conditions", "pods")
_SECRET: dict[str, Any] = {"type": ["string", "null"], "format": "password"}


def get_provider_info() -> dict[str, Any]:
    """The provider's description, in the shape of Airflow's `provider_info.schema.json`."""
    return {
        "package-name": "airflow-provider-pachy",
        "name": "Pachy",
        "description": "Versioned data repos on S3, data-driven DAGs and incremental datum pipelines.",
        "versions": [__version__],
        "integrations": [{"integration-name": "Pachy", "tags": ["software"]}],
        "hooks": [{"integration-name": "Pachy", "python-modules": ["airflow_pachy.hooks.pfs"]}],
        "operators": [{"integration-name": "Pachy", "python-modules": _modules("operators", *_OPERATORS)}],
        "sensors": [{"integration-name": "Pachy", "python-modules": _modules("sensors", "commits", "files", "jobs")}],
        "triggers": [{"integration-name": "Pachy", "python-modules": _modules("triggers", *_TRIGGERS)}],
        "connection-types": [_connection_type()],
        "filesystems": ["airflow_pachy.fs.pfs"],
        "asset-uris": [
            {
                "schemes": ["pfs"],
                "handler": "airflow_pachy.assets.normalize_uri",
                "factory": "airflow_pachy.assets.create_asset",
                "to_openlineage_converter": "airflow_pachy.operators.lineage.asset_to_dataset",
            }
        ],
        "db-managers": ["airflow_pachy.metadata.db_manager.PachyDBManager"],
        "config": {"pachy": {"description": "Settings of airflow-provider-pachy.", "options": _options()}},
    }


def _modules(package: str, *names: str) -> list[str]:
    return [f"airflow_pachy.{package}.{name}" for name in names]


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "pachy",
        "hook-class-name": "airflow_pachy.hooks.pfs.PfsHook",
        "hook-name": "Pachy",
        "conn-fields": {**_storage_fields(), **_runner_fields()},
        "ui-field-behaviour": {
            "hidden-fields": ["host", "port", "schema"],
            "relabeling": {"login": "AWS access key id", "password": "AWS secret access key"},
            "placeholders": {"login": "empty: the connection below, else the machine's own credentials"},
        },
    }


def _storage_fields() -> dict[str, Any]:
    return {
        "storage": _field("Storage", "Where objects are kept: s3://bucket/prefix or file:///directory", _TEXT),
        "metadata": _field(
            "Metadata database",
            "SQLAlchemy URL, e.g. postgresql://user:password@host/database; empty: SQLite under $AIRFLOW_HOME/pachy",
            _SECRET,
        ),
        "endpoint_url": _field("S3 endpoint", "For S3 services other than AWS, e.g. https://minio.example:9000", _TEXT),
        "region_name": _field("S3 region", "", _TEXT),
        "aws_conn_id": _field("AWS connection", "Take credentials, role, endpoint and region from this one", _TEXT),
        "aws_session_token": _field("AWS session token", "", _SECRET),
        "verify": _field("TLS verification", "true, false, or the path of a CA bundle", _TEXT),
        "addressing_style": _field(
            "S3 addressing", "path or virtual", {"type": ["string", "null"], "enum": ["auto", "path", "virtual"]}
        ),
        "role_arn": _field("AWS role", "A role to assume, arn:aws:iam::...; renewed before it expires", _TEXT),
        "sse": _field(
            "Encryption at rest",
            "Of every object; empty: as the bucket does",
            {"type": ["string", "null"], "enum": ["AES256", "aws:kms", "aws:kms:dsse"]},
        ),
        "sse_kms_key_id": _field("KMS key", "Id, alias or ARN, for aws:kms", _TEXT),
        "principal": _field("Principal", "In whose name repos are read and written, e.g. user:airflow", _TEXT),
    }


def _runner_fields() -> dict[str, Any]:
    return {
        "runner": _field(
            "Runner",
            "Where datums run when the operator says auto",
            {"type": "string", "enum": ["auto", "kubernetes", "local"]},
        ),
        "kubernetes_conn_id": _field("Kubernetes connection", "", _TEXT),
        "namespace": _field("Namespace", "Of the pods that process datums", _TEXT),
        "helper_image": _field("Helper image", "Of the container that moves files in and out of the pods", _TEXT),
        "worker_secret": _field("Worker secret", "Kubernetes Secret with the pods' S3 credentials (AWS_*)", _TEXT),
        "worker_endpoint_url": _field(
            "S3 endpoint in pods", "Where pods reach S3, if not at the endpoint above", _TEXT
        ),
        "service_account_name": _field("Service account", "Of the pods, for S3 access without a secret", _TEXT),
    }


def _field(label: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": schema}


def _options() -> dict[str, Any]:
    return {
        "poll_interval": _option(
            "Seconds between two looks of watchers at the metadata database; sensors have their own poke_interval.",
            "float",
            "1",
        ),
        "helper_image": _option(
            "Image of the container that moves files in and out of the pods; the connection's field takes precedence.",
            "string",
            "",
            example="registry.example/airflow-pachy-helper:0.1.0",
        ),
        "namespace": _option("Namespace of the pods; the connection's field takes precedence.", "string", ""),
        "worker_secret": _option("Kubernetes Secret with the pods' S3 credentials.", "string", ""),
        "runner": _option("Where datums run when neither operator nor connection say.", "string", "auto", "kubernetes"),
        "require_connection": _option(
            "Fail when the connection pachy_default is missing, instead of using the environment or the embedded "
            "default. Recommended in production: a connection that cannot be read looks like a missing one.",
            "boolean",
            "False",
        ),
        "infrastructure_retries": _option(
            "How often a datum set's pod is replaced after an eviction, a lost node and so on, within one try of its "
            "task; also the default of the task's own `retries`.",
            "integer",
            "5",
        ),
        "nodes": _option(
            "How many nodes the cluster has for pods: what `parallelism_spec.coefficient` of a pipeline spec is "
            "multiplied by. Without it such a pipeline runs as many pods as the cluster takes.",
            "string",
            "",
        ),
        "webhook_secret": {
            **_option(
                "Secret of the webhooks that git servers call at /pachy-hooks/git of the API server; without it there "
                "is no such address. See git inputs in the documentation.",
                "string",
                "",
            ),
            "sensitive": True,
        },
        **_pod_options(),
    }


def _pod_options() -> dict[str, Any]:
    return {
        "pod_shape": _option(
            "The helper is an ordinary second container (classic) or a native sidecar (sidecar, Kubernetes >= 1.29); "
            "auto decides by the server's version.",
            "string",
            "auto",
            "classic",
        ),
        "pod_security": _option(
            "`restricted` gives the user's container what that Pod Security profile asks for and the DAG leaves open.",
            "string",
            "",
            "restricted",
        ),
        "helper_memory": _option("Memory limit of the helper container.", "string", "1Gi"),
        "helper_env": _option(
            "Environment variables of the helper container, as JSON.",
            "string",
            "",
            '{"HTTPS_PROXY": "http://proxy:3128"}',
        ),
        "helper_user": _option(
            "uid of the helper container; `cluster` lets the cluster choose, as OpenShift demands.",
            "string",
            "10001",
            "cluster",
        ),
        "kill_grace_seconds": _option(
            "Seconds between TERM and KILL for a command that takes longer than datum_timeout.", "integer", "10"
        ),
    }


def _option(description: str, kind: str, default: str, example: str | None = None) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": example,
        "default": default,
    }
