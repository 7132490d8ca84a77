"""The worker process: its outermost frame, what is loaded before a job, its events and its output.

Called by the fork server.
"""
