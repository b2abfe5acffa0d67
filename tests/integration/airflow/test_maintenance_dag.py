"""`dags_examples/maintenance.py` in a real Airflow."""


def test_the_maintenance_dag_collects_and_checks(airflow, pfs):
    pfs.create_repo("images")
    pfs.put_file("images@master:/a.png", b"a" * 2000)
    done = airflow.run("pachy_maintenance")
    assert done.state == "success", done.log[-3000:]
    assert done.states() == {"collect_garbage": "success", "check": "success"}
    told = done.xcom("collect_garbage")
    assert '"deleted_objects": 0' in str(told) or told["deleted_objects"] == 0
    pfs.store.delete([info.key for info in pfs.store.list_keys("packs/")])
    broken = airflow.run("pachy_maintenance")
    assert broken.state == "failed"
    assert "pack" in broken.log
