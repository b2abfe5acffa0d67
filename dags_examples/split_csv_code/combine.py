"""Combine the statistics of all pieces into /pfs/out/stations.csv."""

import csv
from pathlib import Path

PIECES, OUT = Path("/pfs/piece_statistics"), Path("/pfs/out")


def main() -> None:
    rows: dict[str, list[dict[str, str]]] = {}
    for path in sorted(PIECES.glob("*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row["station"], []).append(row)
    with (OUT / "stations.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["station", "readings", "missing", "mean", "min", "max"])
        for station, parts in sorted(rows.items()):
            count = sum(int(part["count"]) for part in parts)
            mean = f"{sum(float(part['sum']) for part in parts) / count:.2f}" if count else ""
            least = min((float(part["min"]) for part in parts if part["min"]), default="")
            greatest = max((float(part["max"]) for part in parts if part["max"]), default="")
            table.writerow([station, count, sum(int(part["missing"]) for part in parts), mean, least, greatest])


if __name__ == "__main__":
    main()
