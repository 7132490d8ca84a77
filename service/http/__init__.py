"""The HTTP face of a service: JSON calls, server-sent events, websocket, page and metrics.

Everything here translates: requests into calls of `TrainingService`, its answers and errors into responses.
Nothing here touches a process, a file of a job, or the database.
"""
