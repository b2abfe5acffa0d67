"""Measure each model under /pfs/candidates on the trips that none was trained on: /pfs/out/<name>.json."""

import csv
import json
from pathlib import Path

import numpy as np

CANDIDATES, HOLDOUT, OUT = Path("/pfs/candidates"), Path("/pfs/holdout"), Path("/pfs/out")


def main() -> None:
    trips = [row for path in sorted(HOLDOUT.glob("*.csv")) for row in csv.DictReader(path.open(newline=""))]
    km = np.array([float(trip["km"]) for trip in trips])
    minutes = np.array([float(trip["minutes"]) for trip in trips])
    for path in sorted(CANDIDATES.glob("*.json")):
        model = json.loads(path.read_text())
        error = float(np.sqrt(np.mean((np.polyval(model["coefficients"], km) - minutes) ** 2)))
        (OUT / path.name).write_text(json.dumps({"rmse_minutes": round(error, 4)}) + "\n")
        print(f"{path.stem}: off by {error:.2f} minutes")


if __name__ == "__main__":
    main()
