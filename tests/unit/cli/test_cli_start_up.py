"""A command starts quickly, and leaves its process as it was for what it starts in turn."""

import os

import pytest

from airflow_pachy.cli import main


@pytest.mark.parametrize("given", [None, "7"])
def test_threads_for_algebra_are_the_users_choice(given, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
    places = ["--storage", f"file://{tmp_path}/store", "--metadata", f"sqlite:///{tmp_path}/metadata.db"]
    assert main([*places, "create", "repo", "images"]) == 0
    assert main([*places, "list", "repo"]) == 0
    assert "images" in capsys.readouterr().out
    assert os.environ.get("OPENBLAS_NUM_THREADS") == given
