"""Where the bytes go: an S3 server if the environment names one, else a local directory."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HOW_TO_S3 = """AWS_ENDPOINT_URL is not set, so this runs against a local directory: it shows the work, not the requests.
For S3, start any server (MinIO, Ceph RGW, or `.venv/bin/moto_server -p 9000`) and set AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a bucket of your own, PACHY_TEST_S3_BUCKET."""


@dataclass(frozen=True, slots=True)
class Target:
    """A store root below which every system gets a folder of its own."""

    root: str
    endpoint: str | None = None
    after_removal: str | None = None

    def url(self, system: str) -> str:
        """The root for one system."""
        return f"{self.root}/{system}"

    @property
    def s3(self) -> Mapping[str, str] | None:
        """Settings for `open_store`; credentials come from the environment."""
        return {"endpoint_url": self.endpoint} if self.endpoint else None

    @property
    def title(self) -> str:
        """For the head of a report."""
        return f"S3 at {self.endpoint}" if self.endpoint else "a local directory"


def find_target(work: Path) -> Target:
    """S3 from `AWS_ENDPOINT_URL` or `PACHY_TEST_S3_ENDPOINT` under a fresh prefix, else a directory below `work`."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("PACHY_TEST_S3_ENDPOINT")
    if not endpoint:
        return Target(root=(work / "store").as_uri())
    bucket = os.environ.get("PACHY_TEST_S3_BUCKET", "pachy-bench")
    _create_bucket(endpoint, bucket)
    return Target(root=f"s3://{bucket}/bench-{secrets.token_hex(4)}", endpoint=endpoint)


def remove(target: Target, names: Iterable[str] | None = None) -> None:
    """Delete what a run, or some systems, have left in the store."""
    for root in [target.root] if names is None else map(target.url, names):
        if target.endpoint is not None:
            _run_here("remove", target.endpoint, root)
        else:
            shutil.rmtree(root.removeprefix("file://"), ignore_errors=True)
    if target.after_removal:
        subprocess.run(["/bin/sh", "-c", target.after_removal], check=True, stdout=subprocess.DEVNULL)


def _create_bucket(endpoint: str, bucket: str) -> None:
    _run_here("create", endpoint, bucket)


def _run_here(*arguments: str) -> None:
    # In a process of its own: what the parent has in memory is the floor of what its children seem to need.
    subprocess.run([sys.executable, "-m", "benchmarks.target", *arguments], check=True)


def main(action: str, endpoint: str, name: str) -> None:
    """Create the bucket `name`, or remove everything below the root `name`."""
    if action == "create":
        import boto3

        client = boto3.client("s3", endpoint_url=endpoint)
        if name not in {entry["Name"] for entry in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=name)
        return
    from airflow_pachy.pfs.objects import open_store

    store = open_store(name, s3={"endpoint_url": endpoint})
    try:
        store.delete(info.key for info in store.list_keys())
    finally:
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
