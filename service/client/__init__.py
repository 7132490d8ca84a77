"""Programs that talk to a running server: `traind.Client` (asyncio) and `traind.SyncClient` (blocking).

`calls` says what is sent and how answers are read, `cursor` follows a job, `uploads` turns what programs have into
bytes, `patience` waits for a server that is away; none of them does any input or output, so both clients share them.
"""
