"""The command `tunery`, also as `python -m tunery`; loading the commands takes a while on a busy machine."""

from tunery.progress import never_silent, standing_in


def main() -> None:
    """Run the command line; always ends with SystemExit."""
    with standing_in(), never_silent("tunery is starting"):
        from tunery.cli.main import main as run

        run()


if __name__ == "__main__":
    main()
