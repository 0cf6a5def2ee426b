"""``card`` and ``sketch``: what a bundle says of itself, anew and without training it again."""

from __future__ import annotations

from pathlib import Path

from training import bundle
from training import card as cards
from training import sketch as sketches
from training.console.arguments import MODELS, PROGRAM, Parser, tell


def card(argv: list[str]) -> int:
    """Writes the model card."""
    models = _folder(
        "card",
        "Writes a bundle's model card from its manifest: what it was made from, what it is for, how good it is and "
        "where it fails. The digest changes: sign the bundle afterwards.",
        argv,
    )
    tell(f"bundle {bundle.carded(models)[:12]} in {models}: {models / cards.FILE} says what it is")
    return 0


def sketch(argv: list[str]) -> int:
    """Draws the sketch and puts it in the manifest."""
    models = _folder(
        "sketch",
        "Draws the sketch of the bundle's own seed (drift is judged against it) and puts it in the manifest. The "
        "digest changes: sign the bundle afterwards.",
        argv,
    )
    tell(f"bundle {sketches.put(models)[:12]} in {models} holds a sketch now")
    return 0


def _folder(name: str, details: str, argv: list[str]) -> Path:
    parser = Parser(prog=f"{PROGRAM} {name}", description=details, example=f"{name} --models build/models")
    parser.add_argument("--models", type=Path, default=MODELS, help="bundle folder")
    folder: Path = parser.parse_args(argv).models
    return folder
