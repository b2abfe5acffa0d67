"""What a job does with Arrow's memory ends with the job."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_pachy.errors import JobNotFound
from airflow_pachy.pipelines import assemble_job
from airflow_pachy.pipelines.plain_memory import plain_memory


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)


def test_the_pool_is_plain_meanwhile_and_then_the_one_before():
    before = pa.default_memory_pool().backend_name
    with plain_memory():
        assert pa.default_memory_pool().backend_name == "system"
        kept = pa.array(range(100_000))
    assert pa.default_memory_pool().backend_name == before
    assert kept[-1].as_py() == 99_999


def test_it_is_the_one_before_also_after_an_error(bench):
    before = pa.default_memory_pool().backend_name
    with pytest.raises(JobNotFound):
        assemble_job(bench.pfs, "0" * 32)
    assert pa.default_memory_pool().backend_name == before


def test_a_pool_that_was_asked_for_stays(monkeypatch):
    before = pa.default_memory_pool().backend_name
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", before)
    with plain_memory():
        assert pa.default_memory_pool().backend_name == before
