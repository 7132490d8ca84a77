"""Everything asyncio: the engine, the worker slots, the store, the feed, HTTP, the client and the CLI.

Imports `data` and, of `trainer`, only `contract`, `control` and `errors`: torch, numpy and polars never enter
the server process.
"""
