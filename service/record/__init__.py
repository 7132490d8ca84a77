"""What is recorded on disk and how it is published: journal, store, database, status files, feed, clock."""
