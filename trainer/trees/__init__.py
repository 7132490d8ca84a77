"""Gradient-boosted trees, grown by LightGBM, stored and evaluated as tensors. Knows no file and no loop."""
