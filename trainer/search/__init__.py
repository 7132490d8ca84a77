"""The search for a better spec: Optuna suggests and prunes. Runs in a side worker; called by `service/studies`."""
