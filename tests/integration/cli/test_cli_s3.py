"""The command line on a real S3 server, named by the environment as a user would."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ENDPOINT = os.environ.get("PACHY_TEST_S3_ENDPOINT")
pytestmark = [pytest.mark.s3, pytest.mark.skipif(not ENDPOINT, reason="PACHY_TEST_S3_ENDPOINT names no S3 server")]


def test_put_and_get_a_directory_and_an_s3_url(s3_bucket: str, tmp_path: Path) -> None:
    where = {
        "PACHY_STORAGE": f"s3://{s3_bucket}/cli-{secrets.token_hex(4)}",
        "PACHY_METADATA": f"sqlite:///{tmp_path}/names.db",
        "PACHY_S3_ENDPOINT": str(ENDPOINT),
    }
    environment = {name: value for name, value in os.environ.items() if name != "AWS_ENDPOINT_URL"} | where

    def pachy(*arguments: str) -> str:
        command = [sys.executable, "-m", "airflow_pachy.cli", *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    source = tmp_path / "photos"
    source.mkdir()
    (source / "a.png").write_bytes(os.urandom(3 << 20))
    (source / "b.txt").write_text("b")
    pachy("create", "repo", "images")
    pachy("put", "file", "images@master:/2024", "-r", "-f", str(source))
    pachy("get", "file", "images@master:/2024", "-r", "-o", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "a.png").read_bytes() == (source / "a.png").read_bytes()
    pachy("put", "file", "images@master:/", "-f", f"{where['PACHY_STORAGE']}/format.json")
    assert '"format"' in pachy("get", "file", "images@master:/format.json")
