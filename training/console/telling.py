"""``history``: what an edge has kept, for those who analyse."""

from __future__ import annotations

from pathlib import Path

from training.console.arguments import PROGRAM, Parser, tell
from training.history import export


def history(argv: list[str]) -> int:
    """Writes an edge's samples as Parquet."""
    parser = Parser(
        prog=f"{PROGRAM} history",
        description="Gives out an edge's history.db as Parquet: one row a sample, columns as in history.csv.",
        example="history /var/lib/motortwin/history.db --out monday.parquet --motor press-7",
    )
    parser.add_argument("source", type=Path, metavar="HISTORY.DB", help="from an edge's data folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the Parquet file")
    parser.add_argument("--motor", metavar="ID", help="of this motor only")
    options = parser.parse_args(argv)
    tell(f"{options.out}: {export(options.source, options.out, options.motor)} samples")
    return 0
