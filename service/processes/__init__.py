"""The service's processes: the fork server, worker processes, the side worker, the identity of processes."""
