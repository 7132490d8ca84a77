"""What a table is once it is read: schema, arrays, cell texts, dates, units. Knows no file."""
