"""How one gradient step is taken: batches, flat optimizers, eager or replayed. Knows no epoch and no report."""
