"""Make a shop's database with orders of several days: `generate.py shop.db`. The same call makes the same orders."""

import random
import sqlite3
import sys
from contextlib import closing
from datetime import date, datetime, time, timedelta

FIRST_DAY = date(2024, 5, 1)
PRICES_CENTS = {"apple": 45, "bread": 320, "cheese": 780, "milk": 119, "tea": 499}


def main(path: str, days: int = 31, orders_per_day: int = 200) -> None:
    chance = random.Random(7)
    products = sorted(PRICES_CENTS)
    rows = []
    for day in range(days):
        midnight = datetime.combine(FIRST_DAY + timedelta(days=day), time())
        for second in sorted(chance.sample(range(24 * 60 * 60), orders_per_day)):
            product = chance.choice(products)
            placed = f"{midnight + timedelta(seconds=second)}"
            rows.append((placed, product, chance.randint(1, 5), PRICES_CENTS[product]))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE orders "
            "(id INTEGER PRIMARY KEY, placed TEXT, product TEXT, quantity INTEGER, price_cents INTEGER)"
        )
        database.executemany("INSERT INTO orders (placed, product, quantity, price_cents) VALUES (?, ?, ?, ?)", rows)
    print(f"{len(rows)} orders of {days} days in {path}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
