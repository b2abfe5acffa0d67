"""Train on all tables in /pfs/iris_training and write /pfs/out/model.json."""

import csv
import json
from pathlib import Path

from bayes import train


def main() -> None:
    flowers = []
    for path in sorted(Path("/pfs/iris_training").rglob("*.csv")):
        with path.open() as file:
            flowers += list(csv.DictReader(file))
    model = train(flowers)
    Path("/pfs/out/model.json").write_text(json.dumps(model, indent=1) + "\n")
    print(f"{len(flowers)} flowers of {', '.join(model)}")


if __name__ == "__main__":
    main()
