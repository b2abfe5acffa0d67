"""Make the tables of the warehouse, or show what is in them: `warehouse.py create URL`, `warehouse.py show URL`."""

import sys

from sqlalchemy import Column, Date, Integer, MetaData, Numeric, String, Table, create_engine, func, select

TABLES = MetaData()
BY_DAY = Table(
    "sales_by_day",
    TABLES,
    Column("day", Date, primary_key=True),
    Column("store", String(40), primary_key=True),
    Column("turnover", Numeric(12, 2), nullable=False),
)
BY_PRODUCT = Table(
    "sales_by_product",
    TABLES,
    Column("day", Date, primary_key=True),
    Column("store", String(40), primary_key=True),
    Column("product", String(40), primary_key=True),
    Column("units", Integer, nullable=False),
    Column("turnover", Numeric(12, 2), nullable=False),
)


def main(verb: str, url: str) -> None:
    engine = create_engine(url)
    if verb == "create":
        TABLES.create_all(engine)
        return
    with engine.connect() as database:
        for day in database.execute(select(BY_DAY).order_by(BY_DAY.c.day, BY_DAY.c.store)):
            print(day.day, day.store, f"{day.turnover:.2f}")
        units = func.sum(BY_PRODUCT.c.units)
        for row in database.execute(select(BY_PRODUCT.c.product, units).group_by("product").order_by("product")):
            print(row.product, row[1])
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
