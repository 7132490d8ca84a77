"""Webhooks: their configuration, the outbox in the database, and the deliveries."""
