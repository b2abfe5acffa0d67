"""Print readings of weather stations as CSV: `generate.py ROWS [FIRST_ROW]`. A row depends on its number alone."""

import csv
import math
import random
import sys
from datetime import UTC, datetime, timedelta

STATIONS = ("Aachen", "Bern, Zollikofen", 'Cork "Airport"', "Delft")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def main(rows: int, first: int = 0) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["time", "station", "celsius"])
    for number in range(first, first + rows):
        chance = random.Random(number)
        moment = BEGIN + timedelta(minutes=15 * (number // len(STATIONS)))
        seasonal = 10 - 9 * math.cos(2 * math.pi * moment.timetuple().tm_yday / 366)
        # A sensor is sometimes silent: its cell is empty then.
        celsius = "" if chance.random() < 0.01 else f"{seasonal + chance.gauss(0, 3):.1f}"
        table.writerow([f"{moment:%Y-%m-%dT%H:%MZ}", STATIONS[number % len(STATIONS)], celsius])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
