"""Everything that happens in a worker process: one job, from a spec to a finished model.

Imports torch, except `contract`, which the service imports too; knows no asyncio, no socket, no HTTP. Called by
`worker`, by tests, and by programs that train without a service.
"""
