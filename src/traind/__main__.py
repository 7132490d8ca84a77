"""`python -m traind`: the command line."""


def main() -> None:
    """Run the command line."""
    from traind.service.cli import main as run

    run()


if __name__ == "__main__":
    main()
