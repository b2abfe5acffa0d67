"""The helper image installs what the worker extra says, and copies all that the worker imports."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
DOCKERFILE = (REPOSITORY / "airflow_pachy/worker/Dockerfile").read_text()


def test_the_image_installs_the_worker_extra():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extra = {re.split(r"[<>=]", name)[0] for name in project["optional-dependencies"]["worker"]}
    command = re.search(r"pip install [^&]*constraints\.txt ([^&\\]+)", DOCKERFILE)
    assert set(command[1].split()) == extra


def test_the_image_has_every_module_that_the_worker_imports():
    code = "import sys, airflow_pachy.worker.__main__, airflow_pachy.worker.run, airflow_pachy.pfs.objects.s3\n"
    code += "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('airflow_pachy') and m.__file__])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    needed = [str(Path(name).relative_to(REPOSITORY)) for name in done.stdout.split()]
    copied = [
        word for line in DOCKERFILE.splitlines() if line.startswith("COPY airflow") for word in line.split()[1:-1]
    ]
    assert len(needed) > 20
    assert [name for name in needed if not any(name == path or name.startswith(f"{path}/") for path in copied)] == []


def test_the_init_container_loads_neither_pyarrow_nor_boto3():
    code = "import sys, airflow_pachy.worker.__main__; print(*({'pyarrow', 'boto3', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == ""
