"""Downloads the public data sets from their publishers into ``MOTOR_DATA``, each file checked against its sha256.

What is there and right is left alone. A download that broke off goes on where it stopped. A file takes its name only
once its digest is right, so nothing is ever half there.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import urllib.error
import urllib.request
import zipfile
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from training.console.arguments import PROGRAM, Parser
from training.console.arguments import tell as told
from training.corpora import source
from training.corpora.pins import DATA_SETS, Pin, pins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

CHUNK = 1 << 20
TIMEOUT_S = 60.0
ATTEMPTS = 4
MAX_BYTES = 4 << 30
_NESTING = 3


class FetchError(ValueError):
    """A file that could not be had; one line that names it, what went wrong and the remedy."""


def fetch(wanted: Iterable[Pin], folder: Path, tell: Callable[[str], None]) -> int:
    """Brings files that are missing or wrong.

    Args:
        wanted: what to have.
        folder: the folder of data sets; made where it is missing.
        tell: takes lines of progress.

    Returns:
        How many files were brought.

    Raises:
        FetchError: an address does not answer, or what it gives has another digest.
    """
    lacking = [pin for pin in wanted if not _right(folder, pin)]
    for address, group in groupby(lacking, key=lambda pin: pin.address):
        members = list(group)
        kept = folder / members[0].data_set / f".{hashlib.sha256(address.encode()).hexdigest()[:16]}.part"
        kept.parent.mkdir(parents=True, exist_ok=True)
        _download(address, kept, tell)
        try:
            for pin in members:
                _place(kept, folder / pin.data_set / pin.file, pin)
                tell(f"{pin.data_set}/{pin.file}: sha256 right")
        finally:
            kept.unlink(missing_ok=True)
    return len(lacking)


def main(argv: list[str], tell: Callable[[str], None] = told) -> int:
    """``python -m training fetch [DATA SET ...]``; 0 when everything is there.

    Raises:
        FetchError: a file could not be had, or a data set is unknown.
    """
    parser = Parser(prog=f"{PROGRAM} fetch", description=__doc__ or "", example="fetch cwru --folder data")
    parser.add_argument("data_set", nargs="*", help=f"which (default: all): {', '.join(DATA_SETS)}")
    parser.add_argument("--folder", type=Path, default=source.root(), help="where to (default: MOTOR_DATA, or data)")
    options = parser.parse_args(argv)
    unknown = set(options.data_set) - set(DATA_SETS)
    if unknown:
        raise FetchError(f"fetch: unknown data set {min(unknown)!r}; known are {', '.join(DATA_SETS)}")
    wanted = [pin for pin in pins() if not options.data_set or pin.data_set in options.data_set]
    brought = fetch(wanted, options.folder, tell)
    tell(f"fetch: {brought} of {len(wanted)} files brought, the rest was there, in {options.folder}")
    return 0


def _right(folder: Path, pin: Pin) -> bool:
    path = folder / pin.data_set / pin.file
    if not path.is_file():
        return False
    if not pin.packed:
        return _digest(path) == pin.sha256
    try:
        with np.load(path, allow_pickle=False) as body:
            return _samples_digest(body["acc_milli_g"]) == pin.sha256
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _samples_digest(samples: NDArray[np.integer]) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<i4").tobytes()).hexdigest()


def _download(address: str, part: Path, tell: Callable[[str], None]) -> None:
    """The address into ``part``, from where an earlier attempt stopped."""
    if not address.startswith(("https://", "http://")):
        raise FetchError(f"{address}: not a web address; correct the table of pins")
    trouble = ""
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - web addresses only
                resumed = answer.status == 206
                with part.open("ab" if resumed else "wb") as file:
                    _copy(answer, file, address, tell, have if resumed else 0)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and have:
                return
            if error.code < 500:
                raise FetchError(f"{address}: answered {error.code} {error.reason}; see the publisher's page") from None
            trouble = f"answered {error.code}"
        except (OSError, urllib.error.URLError) as error:
            trouble = str(getattr(error, "reason", error))
        else:
            return
    raise FetchError(f"{address}: {trouble} ({ATTEMPTS} attempts); check the network and run it again, it resumes")


def _copy(answer: IO[bytes], file: IO[bytes], address: str, tell: Callable[[str], None], have: int) -> None:
    length = getattr(answer, "length", None)
    whole = have + length if length else 0
    told = have
    while block := answer.read(CHUNK):
        file.write(block)
        have += len(block)
        if have > MAX_BYTES:
            raise FetchError(f"{address}: more than {MAX_BYTES} bytes; not what was pinned")
        if have - told >= 32 * CHUNK:
            told = have
            tell(f"{address}: {have >> 20} MiB" + (f" of {whole >> 20}" if whole else ""))
    if whole and have < whole:
        raise OSError(f"broke off at {have} of {whole} bytes")


def _place(download: Path, target: Path, pin: Pin) -> None:
    """The pinned file out of a download, into its place if its digest is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part", delete=False) as fresh:
        path = Path(fresh.name)
    try:
        if not pin.member:
            found = _digest(download)
            path.write_bytes(download.read_bytes())
        elif pin.packed:
            samples, times = _packed(download, pin)
            found = _samples_digest(samples)
            with path.open("wb") as file:
                np.savez_compressed(file, acc_milli_g=samples, acc_time_hms_us=times)
        else:
            raw = _member(download.read_bytes(), pin.member)
            if raw is None:
                raise FetchError(f"{pin.address}: holds no {pin.member}; the publisher changed it")
            found = hashlib.sha256(raw).hexdigest()
            path.write_bytes(raw)
        if found != pin.sha256:
            raise FetchError(
                f"{pin.data_set}/{pin.file}: sha256 {found[:12]}..., {pin.sha256[:12]}... is pinned; "
                "the publisher changed it, or something in between did"
            )
        path.chmod(0o644)
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def _member(raw: bytes, name: str, depth: int = 0) -> bytes | None:
    """The archive's file whose path ends with ``name``, archives within it included."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            inner = []
            for item in archive.infolist():
                if f"/{item.filename}".endswith(f"/{name}"):
                    return archive.read(item)
                if item.filename.lower().endswith(".zip") and depth < _NESTING:
                    inner.append(item)
            for item in inner:
                found = _member(archive.read(item), name, depth + 1)
                if found is not None:
                    return found
    except zipfile.BadZipFile:
        return None
    return None


def _packed(download: Path, pin: Pin) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Snapshots of one bearing, ``(n, 2560, 2)`` in 0.001 g, and the time of each, from the publisher's CSV files."""
    samples, times = [], []
    try:
        with zipfile.ZipFile(download) as archive:
            names = sorted(n for n in archive.namelist() if f"/{pin.member}/acc_" in f"/{n}" and n.endswith(".csv"))
            for name in names:
                text = archive.read(name).decode().replace(";", ",")
                table = np.loadtxt(io.StringIO(text), delimiter=",")
                samples.append(np.rint(table[:, 4:6] * 1000.0).astype(np.int32))
                times.append(table[0, :4].astype(np.int32))
    except (zipfile.BadZipFile, ValueError, IndexError) as error:
        raise FetchError(f"{pin.address}: {pin.member} cannot be read: {error}; the publisher changed it") from None
    if not samples:
        raise FetchError(f"{pin.address}: holds no {pin.member}/acc_*.csv; the publisher changed it")
    return np.stack(samples), np.stack(times)
