"""Fit a polynomial to all trips, of the degree that the datum's file /pfs/params/<name>.json asks for.

The model goes to /pfs/out/<name>.json.
"""

import csv
import json
from pathlib import Path

import numpy as np

TRIPS, PARAMS, OUT = Path("/pfs/trips"), Path("/pfs/params"), Path("/pfs/out")


def main() -> None:
    trips = [row for path in sorted(TRIPS.glob("*.csv")) for row in csv.DictReader(path.open(newline=""))]
    km = np.array([float(trip["km"]) for trip in trips])
    minutes = np.array([float(trip["minutes"]) for trip in trips])
    for params in sorted(PARAMS.glob("*.json")):
        degree = json.loads(params.read_text())["degree"]
        model = {"degree": degree, "coefficients": list(np.polyfit(km, minutes, degree)), "rows": len(trips)}
        (OUT / params.name).write_text(json.dumps(model) + "\n")
        print(f"{params.stem}: {model}")


if __name__ == "__main__":
    main()
