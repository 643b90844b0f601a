"""The database: a pool of connections. Where it is, the variables PGHOST, PGUSER, ... say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

SCHEMA = Path(__file__).with_name("schema.sql")

_pool: AsyncConnectionPool | None = None


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """The pool is open, and the schema is there."""
    global _pool
    async with AsyncConnectionPool(open=False) as _pool:
        async with _pool.connection() as connection:
            await connection.execute(SCHEMA.read_bytes())
        yield


async def connection() -> AsyncIterator[AsyncConnection]:
    """A connection whose work is committed at the end."""
    if _pool is None:
        raise RuntimeError("the pool is not open")
    async with _pool.connection() as connection:
        yield connection
