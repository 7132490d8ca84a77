"""x"""


def serve():
    """Serve."""
