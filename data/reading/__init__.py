"""Reads files into columns: formats, dialects, and the lines of bad cells. Decides no kinds or roles."""
