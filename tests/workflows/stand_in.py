"""What GitHub would do with artifacts and attestations, done with folders: ``stand_in.py upload|download|attest``.

An artifact holds what lies below the deepest folder that all its paths have in common, as upload-artifact has it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

STORE = Path(os.environ["ARTIFACTS"])


def upload(name: str, paths: list[Path]) -> None:
    """Paths that are not there are left out, but not all of them."""
    top = Path(os.path.commonpath(paths))
    there = [path for path in paths if path.exists()]
    if not there:
        sys.exit(f"{name}: none of {[str(path) for path in paths]} is here")
    shutil.rmtree(STORE / name, ignore_errors=True)
    for path in there:
        to = STORE / name / path.relative_to(top)
        if path.is_dir():
            shutil.copytree(path, to, dirs_exist_ok=True)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)


def download(pattern: str, to: Path) -> None:
    """Every artifact of that name or pattern, laid over each other."""
    found = [one for one in sorted(STORE.iterdir()) if fnmatch.fnmatch(one.name, pattern)]
    if not found:
        sys.exit(f"no artifact {pattern}")
    for one in found:
        shutil.copytree(one, to, dirs_exist_ok=True)


def attest(patterns: list[str]) -> None:
    """Digests of what would be attested."""
    files = [path for pattern in patterns for path in sorted(Path().glob(pattern)) if path.is_file()]
    if not files:
        sys.exit(f"nothing to attest: {patterns}")
    found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (STORE / "attested.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    said = {key: os.environ.get(key, "") for key in ("NAME", "PATH_GIVEN", "PATTERN", "SUBJECT_PATH")}
    what = sys.argv[1]
    if what == "upload":
        upload(said["NAME"], [Path(line.strip()) for line in said["PATH_GIVEN"].splitlines() if line.strip()])
    elif what == "download":
        download(said["NAME"] or said["PATTERN"], Path(said["PATH_GIVEN"] or "."))
    else:
        attest([line.strip() for line in said["SUBJECT_PATH"].splitlines() if line.strip()])
