"""Word count, the first program of all distributed computing, as two pipeline specs in `pipelines/wordcount/`.

Two lines make DAGs of them: `wordcount_map` starts when a text is committed to `texts`, `wordcount_reduce` when
`wordcount_map` has published. Both are a few words of shell, so any small image is enough.

    pachy create repo texts
    pachy put file texts@master:/ -r -f wordcount_code/texts/
"""

import os
from pathlib import Path

from airflow_pachy.dags import load_pipelines

PIPELINES = Path(__file__).resolve().parent / "pipelines" / "wordcount"
RUNNER = os.environ.get("WORDCOUNT_RUNNER", "local")

globals().update(load_pipelines(PIPELINES, stage={"runner": RUNNER}, tags=["pachy", "example"]))
