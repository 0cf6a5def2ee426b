"""``python -m training COMMAND``: makes the models, and judges recordings with them."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module

from service.errors import BundleError
from simulator.recording import RecordingError
from training.console.arguments import COMMANDS, MODELS, PROGRAM

__all__ = ["MODELS", "main"]

_MODULES = {
    **dict.fromkeys(("train", "prepare", "fit", "export", "bundle"), "training.console.making"),
    **dict.fromkeys(("card", "sketch"), "training.console.upkeep"),
    "score": "training.console.judging",
    "history": "training.console.telling",
    "evaluate": "training.evaluate.__main__",
    "fetch": "training.fetch",
    "gan": "training.gan.command",
    "gate": "training.gate.command",
}
"""Where each command is, so that none waits for another's libraries: a function of its name, or a room's ``main``."""
_EPILOG = """\
Every command explains itself with --help and takes its arguments from a file too:

  # models.toml                     python -m training train --config models.toml
  [train]                           python -m training train --config models.toml --seed 2
  seed = 1
  work = "build/training"
  out = "build/models"

  [score]
  bearing = "6309"
  unit = "g"
"""


def main(argv: list[str]) -> int:
    """Runs one command; 0 when it did what it says, 2 with one line that explains when not; the gate refuses with 1."""
    if not argv or argv[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    name = argv[0]
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(COMMANDS)}"
        print(f"training: {name[:64]!r} is no command; {meant}", file=sys.stderr)
        return 2
    try:
        module = import_module(_MODULES[name])
        command = getattr(module, name if module.__name__.startswith("training.console.") else "main")
        return int(command(argv[1:]))
    except (BundleError, RecordingError, ValueError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("training: interrupted", file=sys.stderr)
        return 130


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    purpose = "Makes the models, and judges recordings with them."
    return f"usage: {PROGRAM} COMMAND [--help] ...\n\n{purpose}\n\n{listed}\n\n{_EPILOG}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
