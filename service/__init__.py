"""Everything asyncio: the service, the engine, the executors, the record, HTTP, the clients and the command line.

Imports `data` and, of `trainer`, only `contract`: torch, numpy and polars are never loaded in the server process.
"""
