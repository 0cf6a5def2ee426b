"""The watched folder: which of its entries are whole bundles that have come to rest.

A bundle is put there by renaming a complete folder, so what is there is whole. Against those who copy instead: names
that begin with a dot or end in ``.part`` or ``.tmp`` are never looked at, and a folder is looked at only when nothing
in it (names, sizes, times, inodes) has changed from one look to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_UNFINISHED = (".part", ".tmp")
_Picture = tuple[tuple[str, int, int, int], ...]


class Incoming:
    """Remembers what it saw at the last look. One thread uses it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[_Picture, int]] = {}

    def look(self) -> dict[Path, int]:
        """Folders at rest, by name, with the number of looks since they last changed (1 or more)."""
        now: dict[Path, tuple[_Picture, int]] = {}
        for folder in self._candidates():
            picture = _picture(folder)
            before = self._seen.get(folder)
            if picture is not None:
                now[folder] = (picture, before[1] + 1 if before is not None and before[0] == picture else 0)
        self._seen = now
        return {folder: looks for folder, (_, looks) in sorted(now.items()) if looks}

    def _candidates(self) -> list[Path]:
        try:
            found = list(self._folder.iterdir())
        except OSError:  # there is no such folder (any more), so nothing comes in
            return []
        return [path for path in found if path.is_dir() and path.name[0] != "." and not path.name.endswith(_UNFINISHED)]


def _picture(folder: Path) -> _Picture | None:
    entries = []
    try:
        for path in folder.iterdir():
            status = path.lstat()
            entries.append((path.name, status.st_size, status.st_mtime_ns, status.st_ino))
    except OSError:  # it is being changed at this moment
        return None
    return tuple(sorted(entries))
