"""The queue, the running attempts, the verbs and the watchdog. Knows neither HTTP nor processes.

Called by `service.service`; runs jobs through an `executor`, and records every change through `record.journal`.
"""
