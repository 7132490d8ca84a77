"""What is checked before a job is accepted, and how refusals are explained field by field."""
