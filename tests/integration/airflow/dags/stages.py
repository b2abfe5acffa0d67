"""The DAGs that the scenarios run; every command is a few words of shell."""

from airflow.sdk import DAG, task

from airflow_pachy.operators import DatumMapOperator, PfsBranchOperator, PfsCopyOperator, PfsPutOperator
from airflow_pachy.sensors import PfsCommitSensor, PfsFileSensor

WORDS = {"pfs": {"repo": "words", "glob": "/*"}}


def shell(script):
    return ["sh", "-ec", script]


with DAG("upper", schedule=None):
    upper = DatumMapOperator(
        "upper",
        input=WORDS,
        output="upper@master",
        cmds=shell('for f in /pfs/words/*; do tr a-z A-Z <"$f" >"/pfs/out/$(basename "$f")"; done'),
        datum_set={"number": 2},
        runner="local",
    )
    counted = DatumMapOperator(
        "counted",
        input={"pfs": {"repo": "upper", "glob": "/"}},
        output="counted@master",
        cmds=shell('cat /pfs/upper/* | wc -c | tr -d " " >/pfs/out/"$NAME"'),
        env_vars={"NAME": "{{ params.name }}"},
        runner="local",
    )

    @task
    def before():
        return "go"

    @task
    def after(commit):
        return commit["commit"]

    before() >> upper >> counted
    upper.dag.params["name"] = "bytes"
    after(counted.output)

with DAG("exit3", schedule=None):
    DatumMapOperator(
        "exit3",
        input=WORDS,
        output="exit3@master",
        cmds=shell(
            'if [ -e /pfs/words/b ] && [ ! -e "$FLAG" ]; then echo "b is bad" >&2; exit 3; fi; cp /pfs/words/* /pfs/out'
        ),
        env_vars={"FLAG": "{{ params.flag }}"},
        datum_tries=2,
        datum_set={"number": 10},
        runner="local",
    ).dag.params["flag"] = "/nonexistent"

with DAG("nothing", schedule=None):
    DatumMapOperator(
        "nothing",
        input={"pfs": {"repo": "words", "glob": "/*.png"}},
        output="nothing@master",
        cmds=shell("exit 1"),
        runner="local",
    )

with DAG("collision", schedule=None):
    DatumMapOperator(
        "collision",
        input=WORDS,
        output="collision@master",
        cmds=shell("cat /pfs/words/* >/pfs/out/same"),
        runner="local",
    )

with DAG("missing", schedule=None):
    DatumMapOperator(
        "missing",
        input={"pfs": {"repo": "wrods", "glob": "/*"}},
        output="missing@master",
        cmds=shell("true"),
        runner="local",
    )

with DAG("skipped", schedule=None):

    @task.short_circuit
    def closed():
        return False

    closed() >> DatumMapOperator("never", input=WORDS, output="never@master", cmds=shell("true"), runner="local")

with DAG("single_actions", schedule=None):
    put = PfsPutOperator(task_id="put", destination="notes@master:/a/b.txt", data="hello {{ dag.dag_id }}")
    copy = PfsCopyOperator(task_id="copy", source="notes@master:/a/b.txt", destination="notes@draft:/c.txt")
    wait_commit = PfsCommitSensor(task_id="wait_commit", commit="notes@draft", deferrable=False)
    wait_file = PfsFileSensor(task_id="wait_file", path="notes@draft:/*.txt")
    promote = PfsBranchOperator(task_id="promote", branch="notes@stable", head="notes@draft")
    put >> copy >> wait_commit >> wait_file >> promote
