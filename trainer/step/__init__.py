"""One gradient step: batches, flat optimizers, eager, replayed or as a CUDA graph. Knows no epoch and no report."""
