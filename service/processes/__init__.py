"""Processes of our own: the fork server, workers from outside, the side worker, who a process is."""
