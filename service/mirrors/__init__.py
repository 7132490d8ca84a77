"""Mirrors: jobs as TensorBoard event files and MLflow runs. Each target is written by its own process."""
