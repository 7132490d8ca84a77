"""A step recorded once and replayed as straight-line code on planned memory, bit for bit as eager PyTorch."""
