"""Everything that happens in a worker process: one job, from a spec to a finished model.

Imports torch (except `contract`, `control` and `errors`, which the service imports too); knows no asyncio, no
socket, no HTTP. Called by the worker entry (`worker`), by tests, and by anyone who trains without a service.
"""
