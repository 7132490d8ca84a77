"""Executors run jobs. `base` is the interface that the engine needs, the other files implement it."""
