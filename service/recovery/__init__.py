"""What the last server left: settled at start, looked at for damage, rebuilt where it was lost."""
