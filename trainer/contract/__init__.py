"""The border between service and worker: spec, events, control, errors. No torch; all of `trainer` that `service` may import."""
