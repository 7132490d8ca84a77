"""traind: the service that trains PyTorch models for other programs."""
