"""The worker process around a job: its outermost frame, what is loaded ahead, its events and its output.

Called by the fork server.
"""
