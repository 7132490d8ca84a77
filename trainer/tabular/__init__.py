"""The built-in trainer of tables: read, encode, build, fit, bundle. Called by `run` as everybody's own trainer is."""
