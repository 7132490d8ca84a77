"""A job's record, and the pure functions that change it: no disk, no event loop, no clock."""
