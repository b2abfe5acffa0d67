"""A command starts quickly, and leaves its process as it was for what it starts in turn."""

import os

import pytest

from airflow_pachy.cli import main


@pytest.mark.parametrize(
    ("name", "given"),
    [("OPENBLAS_NUM_THREADS", None), ("OPENBLAS_NUM_THREADS", "7"), ("ARROW_DEFAULT_MEMORY_POOL", None)],
)
def test_threads_for_algebra_and_memory_are_the_users_choice(name, given, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(name, given)
    places = ["--storage", f"file://{tmp_path}/store", "--metadata", f"sqlite:///{tmp_path}/metadata.db"]
    assert main([*places, "create", "repo", "images"]) == 0
    assert main([*places, "list", "repo"]) == 0
    assert "images" in capsys.readouterr().out
    assert os.environ.get(name) == given
