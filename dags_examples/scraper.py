"""Pages of web sites every hour, and the prices on them: a cron input.

    pachy create repo sites
    echo https://shop.example.com/offers.html | pachy put file sites@master:/shop -f -

`pages` reads the cross of a cron input and the repo of addresses, so it fetches every page at every full hour, and a
new page as soon as its address is committed. `prices` parses pages that have changed since, and skips all others. What
a page said at some hour is in the history: `pachy get file pages@master^24:/shop.html`.

With SCRAPER_RUNNER=kubernetes the code runs in the image of `scraper_code/Dockerfile`, named by SCRAPER_IMAGE.
"""

import os
from pathlib import Path

from airflow_pachy.dags import pipelines_dag
from airflow_pachy.pipelines import PipelineSpec

RUNNER = os.environ.get("SCRAPER_RUNNER", "local")
IMAGE = os.environ.get("SCRAPER_IMAGE", "airflow-pachy-scraper:local")
CODE = Path(__file__).resolve().parent / "scraper_code" if RUNNER == "local" else Path("/code")

pages = {
    "pipeline": {"name": "pages"},
    "description": "Every page at every full hour.",
    "transform": {"image": IMAGE, "cmd": ["python3", str(CODE / "scrape.py")]},
    "input": {
        "cross": [
            {"cron": {"name": "tick", "spec": "@hourly", "overwrite": True}},
            {"pfs": {"repo": "sites", "glob": "/*"}},
        ]
    },
}
prices = {
    "pipeline": {"name": "prices"},
    "description": "The offers of each page as CSV.",
    "transform": {"image": IMAGE, "cmd": ["python3", str(CODE / "prices.py")]},
    "input": {"pfs": {"repo": "pages", "glob": "/*.html"}},
}

dag = pipelines_dag(
    [PipelineSpec.from_dict(spec) for spec in (pages, prices)],
    dag_id="scraper",
    stage={"runner": RUNNER, "datum_set": {"number": 100}},
    tags=["pachy", "example"],
    doc_md=__doc__,
)
