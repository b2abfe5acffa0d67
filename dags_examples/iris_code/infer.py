"""Name the species of the flowers in this datum's table: the same table in /pfs/out, with one column more."""

import csv
import json
import os
from pathlib import Path

from bayes import MEASURES, classify


def main() -> None:
    model = json.loads(Path("/pfs/iris_model/model.json").read_text())
    source = Path(os.environ["iris_attributes"])
    with source.open() as file, (Path("/pfs/out") / source.name).open("w", newline="") as target:
        writer = csv.DictWriter(target, [*MEASURES, "species"], lineterminator="\n")
        writer.writeheader()
        for flower in csv.DictReader(file):
            writer.writerow({**flower, "species": classify(model, flower)})


if __name__ == "__main__":
    main()
