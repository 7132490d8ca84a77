"""Gradient-boosted trees: grown by LightGBM, kept and evaluated as tensors. Knows no file and no loop."""
