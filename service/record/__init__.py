"""The truth on disk and how it is told: journal, store, database, status files, feed, clock."""
