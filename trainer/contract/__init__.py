"""The border between service and worker: spec, events, control, errors.

No torch; this is all of `trainer` that `service` may import.
"""
