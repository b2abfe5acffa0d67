"""Rules about the repository itself that no linter knows."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PUBLIC = [
    "airflow_pachy",
    "airflow_pachy.pfs",
    "airflow_pachy.pipelines",
    "airflow_pachy.operators",
    "airflow_pachy.sensors",
]
LONGEST_FILE = 500


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def sources() -> list[Path]:
    return [path for path in (ROOT / "airflow_pachy").rglob("*.py") if "versions" not in path.parts]


def test_no_module_is_longer_than_a_person_reads() -> None:
    long = {
        str(path.relative_to(ROOT)): n for path in sources() if (n := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(p.relative_to(ROOT)) for p in sources() if not p.read_text().lstrip().startswith(('"""', "#!/"))]
    assert not silent


@pytest.mark.parametrize("name", PUBLIC)
def test_exported_names_are_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(module.__all__)
    assert [n for n in module.__all__ if getattr(module, n, None) is None] == []


@pytest.mark.parametrize("module", ["airflow_pachy", "airflow_pachy.pfs.tree", "airflow_pachy.worker"])
def test_the_helper_image_needs_neither_airflow_nor_sqlalchemy(module: str) -> None:
    absent = ["airflow", "sqlalchemy", "alembic", "kubernetes", "pydantic"]
    code = f"import sys, {module}; print([m for m in {absent} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_constraints_name_versions_and_no_hosts() -> None:
    for path in sorted((ROOT / "constraints").glob("*.txt")):
        for line in path.read_text().splitlines():
            assert re.fullmatch(r"[a-z0-9._-]+==[^ ;]+( ; .*)?", line), f"{path.name}: {line}"


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    extras = project()["optional-dependencies"]
    requirements = project()["dependencies"] + [r for group in extras.values() for r in group]
    names = {re.split(r"[\[<>=~ ;]", requirement)[0] for requirement in requirements} - {project()["name"]}
    assert sorted(name for name in names if f"`{name}`" not in reasons) == []
