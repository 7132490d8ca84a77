"""The worker process around a job: its outermost frame, what is loaded ahead, how it speaks and what it prints. Called by the fork server."""
