"""``phasescope`` and ``python -m phasescope``: signals are met before anything that takes time is imported."""

from phasescope.door import ended, finish, guard

guard()

import sys  # noqa: E402


def main() -> None:
    """Run the command line: exit code 0 when complete, 2 for bad input, 3 when interrupted."""
    from phasescope.commands.cli import called

    sys.exit(finish(ended(called)))


if __name__ == "__main__":
    main()
