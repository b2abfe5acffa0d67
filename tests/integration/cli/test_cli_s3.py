"""The command line on a real S3 server, named by the environment as a user would."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

ENDPOINT = os.environ.get("PACHY_TEST_S3_ENDPOINT")
pytestmark = [pytest.mark.s3, pytest.mark.skipif(not ENDPOINT, reason="PACHY_TEST_S3_ENDPOINT names no S3 server")]


@pytest.fixture
def storage(s3_bucket: str) -> str:
    return f"s3://{s3_bucket}/cli-{secrets.token_hex(4)}"


@pytest.fixture
def pachy(storage: str, tmp_path: Path) -> Callable[..., str]:
    """Runs a command as a process of its own, and gives what it prints; `fails` gives what it says to be wrong."""
    where = {
        "PACHY_STORAGE": storage,
        "PACHY_METADATA": f"sqlite:///{tmp_path}/names.db",
        "PACHY_S3_ENDPOINT": str(ENDPOINT),
    }

    def run(*arguments: str, fails: bool = False, **variables: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if name != "AWS_ENDPOINT_URL"}
        command = [sys.executable, "-m", "airflow_pachy.cli", *arguments]
        ran = subprocess.run(command, env=inherited | where | variables, capture_output=True, text=True, check=False)
        assert (ran.returncode != 0) == fails, ran.stderr
        return ran.stderr if fails else ran.stdout

    return run


def test_put_and_get_a_directory_and_an_s3_url(pachy: Callable[..., str], storage: str, tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    (source / "a.png").write_bytes(os.urandom(3 << 20))
    (source / "b.txt").write_text("b")
    pachy("create", "repo", "images")
    pachy("put", "file", "images@master:/2024", "-r", "-f", str(source))
    pachy("get", "file", "images@master:/2024", "-r", "-o", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "a.png").read_bytes() == (source / "a.png").read_bytes()
    pachy("put", "file", "images@master:/", "-f", f"{storage}/format.json")
    assert '"format"' in pachy("get", "file", "images@master:/format.json")


def test_trees_that_were_read_or_written_here_are_not_fetched_again(
    pachy: Callable[..., str], storage: str, tmp_path: Path
) -> None:
    pachy("create", "repo", "images")
    for body in ("one", "two"):
        (tmp_path / "a.txt").write_text(body)
        pachy("put", "file", "images@master:/a.txt", "-f", str(tmp_path / "a.txt"))
    bucket, _, prefix = storage.removeprefix("s3://").partition("/")
    nodes = boto3.resource("s3", endpoint_url=ENDPOINT).Bucket(bucket).objects.filter(Prefix=f"{prefix}/nodes/")
    keys = [one.key for one in nodes]
    nodes.delete()
    assert "/a.txt" in pachy("diff", "file", "images@master")
    assert pachy("get", "file", "images@master:/a.txt") == "two"
    assert "/a.txt" in pachy("list", "file", "images@master")
    missing = pachy("list", "file", "images@master", fails=True, PACHY_CACHE_SIZE="0")
    assert any(key.removeprefix(f"{prefix}/") in missing for key in keys)
