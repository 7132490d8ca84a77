"""Telling other programs: who is told of what, the outbox, and the deliveries."""
