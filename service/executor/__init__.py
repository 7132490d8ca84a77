"""Whoever runs jobs, behind one seam: `base` says what the engine needs, the other files are ways of doing it."""
