"""A table in memory: schema, arrays, cell texts, dates, units. Knows no file."""
