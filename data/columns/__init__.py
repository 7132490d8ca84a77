"""Facts of each column over all rows, and what follows: its kind, its role, warnings, the task."""
