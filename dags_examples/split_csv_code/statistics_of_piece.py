"""Per station: how many readings of a piece there are, how many are missing, and their sum, least and greatest value.

The piece is a CSV file of its own, header included, though what was put was one large file.
"""

import csv
from pathlib import Path

READINGS, OUT = Path("/pfs/readings"), Path("/pfs/out")
COLUMNS = ["station", "count", "missing", "sum", "min", "max"]


def main() -> None:
    for piece in sorted(path for path in READINGS.rglob("*") if path.is_file()):
        summarise(piece)


def summarise(piece: Path) -> None:
    found: dict[str, list[float]] = {}
    missing: dict[str, int] = {}
    with piece.open(newline="") as file:
        for row in csv.DictReader(file):
            values = found.setdefault(row["station"], [])
            missing.setdefault(row["station"], 0)
            if row["celsius"]:
                values.append(float(row["celsius"]))
            else:
                missing[row["station"]] += 1
    with (OUT / f"{piece.name}.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for station, values in sorted(found.items()):
            least, greatest = (min(values), max(values)) if values else ("", "")
            table.writerow([station, len(values), missing[station], f"{sum(values):.1f}", least, greatest])


if __name__ == "__main__":
    main()
