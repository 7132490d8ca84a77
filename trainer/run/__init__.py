"""One attempt at a job, and `Run`, the interface that all training code uses."""
