"""Arguments of every command: from the command line, and before it from a TOML file, one table a command.

``--config FILE`` takes ``[train]``, ``[score]`` or ``[gan.fit]`` from the file, keys as the options are called. What
the command line says overrules the file. A key that no option has is a mistake, answered with the nearest one; so are a
value that the option would not take and a table that is no command.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from simulator.console import number
from simulator.unit import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROGRAM = "python -m training"
COMMANDS = {
    "fetch": "the public data sets from their publishers",
    "prepare": "the training set from the twin, kept by the thousand windows",
    "fit": "networks and thresholds from the prepared data",
    "export": "weights to ONNX graphs and golden vectors",
    "bundle": "graphs to a bundle that the edge's loader has proven",
    "train": "prepare, fit, export and bundle; or with --data your own machine",
    "evaluate": "every figure of the models, honestly -> build/evaluation",
    "gate": "candidate against champion: refused where it got worse",
    "score": "recordings through the shipped bundle, one line each",
    "history": "an edge's history.db as Parquet",
    "card": "a bundle's model card, anew from its manifest",
    "sketch": "gives a bundle the sketch of its training's inputs, without training it again",
    "gan": "rare failures, made and judged: fit, sample, report -> build/gan",
}
"""What there is, in the order of use; also the tables that a file of arguments may have."""
MODELS = Path("service/models")
_WIDTH = 100


def tell(line: str) -> None:
    """A line of progress or result."""
    print(line, flush=True)


def unsaid(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """What a recording may not say of itself."""
    parser.add_argument("--speed-rpm", type=number.positive, help="shaft speed, where the file does not say it")
    parser.add_argument("--fs-hz", type=number.positive, help="sampling rate, where the file does not say it")
    parser.add_argument(
        "--unit", choices=UNITS, help="of the file's numbers; else g in .mat, mg in .npz, m/s2 in tables"
    )


class Parser(argparse.ArgumentParser):
    """A parser that reads a file of arguments first, shows an example, and says a mistake in one line."""

    def __init__(self, *, prog: str, description: str, example: str = "", **rest: Any) -> None:
        rest.setdefault("formatter_class", _Formatter)
        rest.setdefault("allow_abbrev", False)
        super().__init__(prog=prog, **rest)
        self.description = textwrap.fill(" ".join(description.split()), _WIDTH)
        self.epilog = f"example:\n  {PROGRAM} {example}" if example else None
        self.register("action", "store_true", _Flag)
        self.add_argument("--config", type=Path, metavar="FILE.toml", help=f"arguments, in its table {self._named()}")
        self._given: Path | None = None

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As the base class does, with the file's values as defaults."""
        words = sys.argv[1:] if args is None else list(args)
        file = _file(words) or self._given
        if file is not None:
            self._take(file)
            for child in self._children().values():
                child._given = file  # noqa: SLF001 - a parser of the same class
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Ends with status 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")

    def _path(self) -> list[str]:
        return self.prog.removeprefix(PROGRAM).split()

    def _named(self) -> str:
        return f"[{'.'.join(self._path())}]"

    def _children(self) -> Mapping[str, Parser]:
        found = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
        return found[0].choices if found else {}

    def _take(self, file: Path) -> None:
        try:
            body: Any = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            self.error(f"--config {file}: cannot be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.error(f"--config {file}: is not TOML: {' '.join(str(error).split())}")
        for name, value in body.items():
            if name not in COMMANDS:
                self.error(f"--config {file}: [{name}] is no command{_nearest(name, COMMANDS)}")
            if not isinstance(value, dict):
                self.error(f"--config {file}: {name} must be a table of arguments, [{name}]")
        for name in self._path():
            body = body.get(name, {})
        known = {action.dest: action for action in self._actions if _is_argument(action)}
        for key, value in body.items():
            where = f"--config {file}: {self._named()} {key}"
            name = key.replace("-", "_")
            if key in self._children() and isinstance(value, dict):
                continue
            if name not in known:
                self.error(f"{where} is unknown{_nearest(name, [*known, *self._children()])}")
            _default(self, known[name], value, where)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of descriptions and examples; tells defaults where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        unset = action.default is None or action.default is False or action.default == ""
        plain = unset or "default" in (action.help or "")
        return action.help if plain else super()._get_help_string(action)


class _Flag(argparse.BooleanOptionalAction):
    """On or off, so that the command line can overrule a file that says on."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, help: str | None = None, **_rest: Any) -> None:  # noqa: A002
        super().__init__(option_strings, dest, default=False, help=help)


def _is_argument(action: argparse.Action) -> bool:
    others = (argparse._HelpAction, argparse._SubParsersAction)  # noqa: SLF001 - argparse names them no better
    return not isinstance(action, others) and action.dest != "config"


def _file(words: list[str]) -> Path | None:
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config", type=Path)
    try:
        found: Path | None = finder.parse_known_args(words)[0].config
    except argparse.ArgumentError:
        return None  # without a file's name: the parser itself says so
    return found


def _default(parser: Parser, action: argparse.Action, value: Any, where: str) -> None:
    """The value as the action's default, as if it had been typed."""
    if isinstance(action, argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            parser.error(f"{where}: {value!r} must be true or false")
        action.default = value
    elif action.nargs in ("+", "*"):
        values = value if isinstance(value, list) else [value]
        if not values and action.nargs == "+":
            parser.error(f"{where}: names nothing; give one at least")
        action.default = [_converted(parser, action, one, where) for one in values]
    else:
        action.default = _converted(parser, action, value, where)
    action.required = False
    if not action.option_strings:
        action.nargs = "*" if action.nargs in ("+", "*") else "?"


def _converted(parser: Parser, action: argparse.Action, value: Any, where: str) -> Any:
    kind = action.type if callable(action.type) else str
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        parser.error(f"{where}: {value!r} is no value of it")
    try:
        found = kind(str(value))
    except argparse.ArgumentTypeError as error:
        parser.error(f"{where}: {error}")
    except ValueError:
        parser.error(f"{where}: {value!r} is no {getattr(kind, '__name__', 'value')}")
    if action.choices is not None and found not in action.choices:
        parser.error(f"{where}: {value!r} is none of {', '.join(map(str, action.choices))}")
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(names)}"
