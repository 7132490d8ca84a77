"""The HTTP interface of a service: JSON calls, server-sent events, websocket, page and metrics.

It translates requests into calls of `TrainingService`, and results and errors into responses. Nothing here touches a
process, a job's file or the database.
"""
