"""DAGs of users who got something wrong, or whose services are away."""

from airflow.sdk import DAG

from airflow_pachy.operators import DatumMapOperator


def stage(name, script="true", **arguments):
    with DAG(name, schedule=None):
        DatumMapOperator(
            name,
            input={"pfs": {"repo": "odd", "glob": "/*"}},
            output=f"{name}@master",
            runner="local",
            datum_tries=1,
            datum_set={"number": 1},
            **{"cmds": ["sh", "-ec", script], **arguments},
        )


stage("odd_names", 'cp -- /pfs/odd/* "/pfs/out/"')
stage("no_program", cmds=["no-such-program"])
stage("no_working_dir", working_dir="/no/such/directory")
stage(
    "file_and_directory",
    "cd /pfs/odd; if [ -e empty ]; then touch /pfs/out/x; else mkdir /pfs/out/x; cp -- * /pfs/out/x/; fi",
)
for connection in ("wrong_key", "no_s3", "no_database", "half_a_key", "no_connection"):
    stage(connection, pfs_conn_id=connection, retries=0)  # a server that is away is asked again otherwise
