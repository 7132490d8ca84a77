"""The checks before a job is accepted, and the explanation of problems by field."""
