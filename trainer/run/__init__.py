"""One attempt at a job, top to bottom, and the `Run` that all training code speaks through."""
