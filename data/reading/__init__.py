"""A file becomes columns: formats, dialects, and where bad cells stand. Decides nothing about kinds or roles."""
