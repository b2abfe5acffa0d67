"""Taxi trips as CSV: `generate.py ROWS [SEED [BROKEN]]`. With BROKEN=1 the clock of the taximeter is wrong.

A trip takes 3 minutes, and 4 minutes per km that become fewer the longer it is.
"""

import csv
import random
import sys


def main(rows: int, seed: int = 0, broken: int = 0) -> None:
    chance = random.Random(seed)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["km", "minutes"])
    for _ in range(rows):
        km = chance.uniform(0.5, 20)
        minutes = 3 + 4 * km - 0.08 * km * km + chance.gauss(0, 1)
        table.writerow([f"{km:.2f}", f"{minutes * (60 if broken else 1):.2f}"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
