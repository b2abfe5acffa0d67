"""Versioned data repos, data-driven DAGs and incremental datum pipelines for Apache Airflow 3.

Importing this package imports nothing else: DAG files import from it, and every DAG parse pays
for what they pull in. `airflow_pachy.pfs`, `airflow_pachy.operators` and the other public
packages load their modules on first use.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
