"""Jobs in, events out: the queue, running attempts, the watchdog. Knows no HTTP and no process."""
