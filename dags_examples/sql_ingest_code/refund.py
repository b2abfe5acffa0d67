"""Take an order back: `refund.py shop.db ORDER`."""

import sqlite3
import sys
from contextlib import closing


def main(path: str, order: int) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        if not database.execute("DELETE FROM orders WHERE id = ?", [order]).rowcount:
            sys.exit(f"{path} has no order {order}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
