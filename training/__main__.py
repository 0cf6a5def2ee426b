"""``python -m training COMMAND``: make the models. ``train`` is the command where none is given."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from service.errors import BundleError
from training.train import Args, train


def main(argv: list[str]) -> int:
    """Runs one command; 0 when it did what it says, 1 with one line of explanation when not."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("train", help="twin data -> models -> proven bundle", description=train.__doc__)
    for field in fields(Args):
        sub.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help=f"{field.metadata['help']} (default: {field.default})",
        )
    given = argv if argv and not argv[0].startswith("--") or argv == ["--help"] else ["train", *argv]
    options = vars(parser.parse_args(given))
    options.pop("command")
    try:
        train(Args(**options))
    except (BundleError, ValueError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
