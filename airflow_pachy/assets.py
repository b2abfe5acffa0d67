"""`pfs://` assets: DAGs that start when data is committed.

`pfs_asset` is the one way to make them. Airflow attaches watchers to an asset by comparing declarations: a second
declaration of the same asset without the watcher would detach it at every parse, so all of them must carry the
identical one. Where an asset is only mentioned, `Asset.ref(name=...)` is safe as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow_pachy.errors import InvalidAddress
from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.pfs.address import parse_branch

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.sdk import Asset

__all__ = ["create_asset", "git_asset", "git_uri", "normalize_uri", "pfs_asset"]

_FORM = "pfs://[connection@]repo/branch[/path]"


def pfs_asset(branch: str, conn_id: str = DEFAULT_CONNECTION) -> Asset:
    """The asset of a branch: `pfs_asset("images@master")`, or `pfs_asset("images")` for its branch master.

    Its events carry `{"repo": ..., "branch": ..., "commit": ...}` as the payload. Raises `InvalidAddress` or
    `InvalidName` when it does not name a branch.
    """
    from airflow.sdk import Asset, AssetWatcher

    from airflow_pachy.triggers.commits import PfsCommitTrigger

    address = parse_branch(branch)
    trigger = PfsCommitTrigger(repo=address.repo, branch=address.ref, pfs_conn_id=conn_id)
    return Asset(
        uri=branch_uri(address.repo, address.ref, conn_id),
        group="pfs",
        watchers=[AssetWatcher(name="pfs_commits", trigger=trigger)],
    )


def create_asset(
    *, repo: str, branch: str = "master", conn_id: str = DEFAULT_CONNECTION, extra: dict[str, Any] | None = None
) -> Asset:
    """An asset for lineage, without a watcher; Airflow's asset factory of the scheme `pfs`."""
    from airflow.sdk import Asset

    return Asset(uri=branch_uri(repo, branch, conn_id), group="pfs", extra=extra)


def git_asset(url: str, branch: str) -> Asset:
    """The asset of a branch of a git repository, whose events are pushes; pipelines with that git input wait for it.

    The webhook emits them (`airflow_pachy.plugin.webhook`), and so may anybody in Airflow's asset view.
    """
    from airflow.sdk import Asset

    from airflow_pachy.pipelines.inputs.git import repository_address

    return Asset(uri=git_uri(repository_address(url), branch), group="git")


def git_uri(address: str, branch: str) -> str:
    """The URI of the asset of a git branch; `address` is host and path, as `github.com/owner/project`."""
    # Airflow writes a URI without a host, as of a local repository, in another way.
    return f"git-push://{quote(address.lstrip('/'))}?{urlencode({'branch': branch})}"


def normalize_uri(uri: SplitResult) -> SplitResult:
    """Airflow's handler of the scheme: one form for one asset. Raises `ValueError` for what cannot be one."""
    connection, at, repo = uri.netloc.rpartition("@")
    segments = [segment for segment in uri.path.split("/") if segment]
    if not repo or not segments:
        raise InvalidAddress(f"{uri.geturl()!r} is not a pfs asset: write {_FORM}")
    parse_branch(f"{repo}@{segments[0]}")
    netloc = f"{connection}@{repo}" if at and connection != DEFAULT_CONNECTION else repo
    return uri._replace(netloc=netloc, path="/" + "/".join(segments))


def branch_uri(repo: str, branch: str, conn_id: str = DEFAULT_CONNECTION) -> str:
    """The URI of a branch's asset."""
    # Only another connection than the default is part of the identity: it is another data store.
    owner = "" if conn_id == DEFAULT_CONNECTION else f"{conn_id}@"
    return f"pfs://{owner}{repo}/{branch}"
