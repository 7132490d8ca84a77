"""The built-in trainer of tables: read, encode, build, fit, bundle. Called by `run.attempt`, as users' are."""
