"""The OpenCV tutorial inside a real Airflow 3: `make demo` runs it, `make demo-ui` opens Airflow's UI on the result.

Everything happens under `.demo/`: a fresh Airflow home (SQLite, LocalExecutor), the embedded store and
metadata database of airflow_pachy. The DAG `opencv` of dags_examples/ is started by commits alone: this script
only puts photos into the repo `images` and looks on. The commands it shows are the ones it runs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from importlib.resources import files
from pathlib import Path

from airflow_process import Airflow, airflow_environment, free_port

from airflow_pachy.cli.app import cli
from airflow_pachy.errors import NotFound
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobInfo, list_jobs

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = REPOSITORY / ".demo"
MONTAGE = DEMO / "montage.png"
FIRST_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png")
SECOND_PHOTOS = ("hubble_deep_field.jpg", "rocket.jpg")
RUN_TIMEOUT_SECONDS = 180.0
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def say(text: str) -> None:
    """One line of narration."""
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


def pachy(*arguments: str) -> None:
    """Show a `pachy` command and run it in this process (as the shell command would, without its start-up)."""
    shown = [os.path.relpath(a) if a.startswith(f"{REPOSITORY}/") else a for a in arguments]
    print(f"$ pachy {shlex.join(shown)}", flush=True)
    cli.main(args=list(arguments), prog_name="pachy", standalone_mode=False)


def photos(names: tuple[str, ...]) -> list[str]:
    """Paths of real photographs that ship inside the scikit-image wheel (NASA, CC0)."""
    folder = Path(str(files("skimage"))) / "data"
    return [str(folder / name) for name in names]


def put_photos(names: tuple[str, ...]) -> None:
    """Commit several photos as one commit."""
    sources = [part for path in photos(names) for part in ("-f", path)]
    pachy("put", "file", "images@master:/", *sources)


def wait_for_montage(pfs: Pfs, commits: int, airflow: Airflow) -> None:
    """Wait until the montage branch has that many commits, telling of each job as it changes state."""
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    told: dict[str, str] = {job.id: job.state for job in list_jobs(pfs) if job.state == "success"}
    while time.monotonic() < deadline:
        airflow.check()
        jobs = list(list_jobs(pfs))
        for job in reversed(jobs):
            if told.get(job.id) != job.state:
                told[job.id] = job.state
                print(f"{DIM}  [{time.monotonic() - STARTED:4.0f}s] {describe(job)}{PLAIN}", flush=True)
            if job.state in ("failed", "stopped"):
                sys.exit(f"The job of {job.pipeline} failed: {job.error}\nAirflow's log: {airflow.log}")
        if sum(1 for job in jobs if job.pipeline == "montage" and job.state == "success") >= commits:
            return
        time.sleep(0.3)
    sys.exit(f"No montage after {RUN_TIMEOUT_SECONDS:.0f} s. Airflow's log: {airflow.log}")


def describe(job: JobInfo) -> str:
    """One line about a job, with Pachyderm's progress column."""
    return f"{job.pipeline:<8} {job.state:<8} {job.datums_processed} + {job.datums_skipped} / {job.datums_total}"


def prepare() -> dict[str, str]:
    """A fresh demo folder and the environment in which Airflow and this process run; returns that environment."""
    shutil.rmtree(DEMO, ignore_errors=True)
    (DEMO / "dags").mkdir(parents=True)
    (DEMO / "dags" / "opencv.py").symlink_to(REPOSITORY / "dags_examples" / "opencv.py")
    environment = airflow_environment(DEMO / "airflow", DEMO / "dags", port=free_port())
    os.environ.update(environment)
    return environment


def run() -> None:
    """The tutorial, start to end."""
    environment = prepare()
    say("1. Start Airflow (scheduler, triggerer, DAG processor, API server) and create a repo for the photos.")
    with Airflow(environment, log=DEMO / "airflow.log") as airflow:
        pachy("create", "repo", "images", "--description", "photos to look for edges in")
        airflow.wait_until_ready()
        say("2. Commit three photos. The DAG `opencv` starts because of the commit; nobody triggers it.")
        put_photos(FIRST_PHOTOS)
        with Pfs.open() as pfs:
            wait_for_montage(pfs, 1, airflow)
            say("3. Commit two more. Only the two new datums run; the three old ones are skipped.")
            put_photos(SECOND_PHOTOS)
            wait_for_montage(pfs, 2, airflow)
            airflow.wait_until_idle()
    say("4. What there is now.")
    show()


def show() -> None:
    """Repos, commits with provenance, jobs, datums, and the picture itself."""
    pachy("list", "repo")
    pachy("list", "commit", "images@master")
    pachy("inspect", "commit", "montage@master")
    pachy("list", "job")
    pachy("list", "datum", "edges@master")
    pachy("get", "file", "montage@master:/montage.png", "-o", str(MONTAGE))
    say(f"The montage: {os.path.relpath(MONTAGE)} ({MONTAGE.stat().st_size:,} bytes)")
    print(f"Airflow's UI on all this: {BOLD}make demo-ui{PLAIN}   (took {time.monotonic() - STARTED:.0f} s)")


def ui() -> None:
    """Airflow standalone on the data of the last demo, in the foreground."""
    if not (DEMO / "airflow").is_dir():
        sys.exit("There is no demo to show yet: run `make demo` first.")
    port = free_port(8080)
    environment = airflow_environment(DEMO / "airflow", DEMO / "dags", port=port)
    print(f"Airflow's UI: {BOLD}http://127.0.0.1:{port}/dags/opencv{PLAIN} (no password; Ctrl-C ends it)")
    print("Commit another photo meanwhile, in another terminal, and watch the DAG start:")
    print(f"  export AIRFLOW_HOME={os.path.relpath(DEMO / 'airflow')}")
    print("  .venv/bin/pachy put file images@master:/ -f a-photo-of-yours.jpg", flush=True)
    with Airflow(environment, log=DEMO / "airflow.log") as airflow:
        airflow.wait_until_ready()
        print("It is ready.", flush=True)
        airflow.wait()


def main() -> None:
    """Dispatch `run` and `ui`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["run", "ui"])
    action = parser.parse_args().action
    # Being told to stop is as good a reason as Ctrl-C to end Airflow's processes first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        run() if action == "run" else ui()
    except KeyboardInterrupt:
        print("\nStopped.")
    except NotFound as error:
        sys.exit(str(error))


STARTED = time.monotonic()
if __name__ == "__main__":
    main()
