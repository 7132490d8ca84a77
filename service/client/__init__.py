"""Programs that talk to a running server: `traind.Client` (asyncio) and `traind.SyncClient` (blocking).

`SyncClient` is `Client` on an event loop of its own thread. `calls` says what is sent and how answers are read,
`cursor` follows a job, `transfers` turns what programs have into bytes, `patience` waits for a server that is away,
`blocking` is for commands of one request, which need no event loop.
"""
