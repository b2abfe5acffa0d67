"""The benchmarks run to the end on a machine with nothing but a disk, and write down what they measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
S3 = ("AWS_ENDPOINT_URL", "PACHY_TEST_S3_ENDPOINT")


def test_a_quick_run_without_a_server(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in S3}
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--quick",
        "--without",
        "dvc",
        "--json",
        str(tmp_path / "result.json"),
    ]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "AWS_ENDPOINT_URL is not set" in ran.stdout
    assert "OPERATION" in ran.stdout
    document = json.loads((tmp_path / "result.json").read_text())
    measured = {(m["system"], m["operation"]): m for m in document["measurements"]}
    assert {o for system, o in measured if system == "bare"} == {"ingest", "list", "one file", "materialise"}
    assert {"put changed", "diff", "put after an edit", "commit of 10", "glob /*/*.json", "commit 101"} <= {
        o for system, o in measured if system == "ours"
    }
    assert all(m["seconds"] > 0 and m["peak_memory_bytes"] > 1 << 20 for m in document["measurements"])
    # Packing is the point: thousands of files in tens of requests, a range without the rest, an edit without the file.
    assert measured["ours", "ingest"]["requests"] < document["settings"]["files"] / 20
    assert measured["ours", "read 1 MiB inside"]["received_bytes"] < 2 << 20
    assert measured["ours", "put after an edit"]["sent_bytes"] < 20 << 20
    assert measured["ours", "commit 101"]["requests"] == measured["ours", "commit 11"]["requests"]
    # A request for each commit, and a few for the rest; the run itself compares the rows.
    assert 110 < measured["ours", "rebuild 110 commits"]["requests"] < 150
