"""Rows from a database cursor become a data set: nothing is held in memory but what is on its way."""

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Any

from traind import TrainingService


def rows_of(database: str, query: str) -> Iterator[dict[str, Any]]:
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(query):
            yield dict(row)


async def main(database: str, root: str = "var") -> float:
    async with TrainingService(root=root) as service:
        await service.put_dataset("orders", rows_of(database, "SELECT amount, country, days FROM orders"))
        job = await service.wait((await service.submit(dataset="orders", target="days", epochs=20)).job_id)
        return float(job.metrics["validation"]["rmse"])


if __name__ == "__main__":
    print(asyncio.run(main("orders.db")))
