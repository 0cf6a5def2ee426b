"""Recordings of real machines in their publishers' formats, read into one shape: m/s^2, Hz, 1/min.

Known: Case Western .mat (``X105_DE_time`` in g), MFPT challenge .mat (struct ``bearing``, g), FEMTO/PRONOSTIA .npz
(milli-g, two axes), CSV and Parquet with named columns. A file may lie inside an archive:
``cwru.tar.xz:12k_DE/105.mat``.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tarfile
import warnings
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from service.contract.messages import Axis
from service.contract.signals import OPERATING
from simulator.unit import UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from simulator.unit import Unit

MAX_RPM = 60_000.0
"""The highest speed that a nameplate takes."""
MAX_SPAN_S = 1e9

MAX_BYTES = 1 << 30
ARCHIVES = (".tar", ".tar.xz", ".tar.gz", ".tar.bz2", ".tgz", ".zip")
MANIFEST_FILE = "MANIFEST.csv"

FEMTO_FS_HZ = 25_600.0
FEMTO_STEP_S = 10.0
FEMTO_RPM = {"1": 1800.0, "2": 1650.0, "3": 1500.0}
"""Speed by operating condition (Nectoux et al., PHM 2012): the digit after ``Bearing`` in the file's name."""


CWRU_RPM = {"0": 1797.0, "1": 1772.0, "2": 1750.0, "3": 1730.0}
"""Case Western's approximate motor speed by load in hp, for recordings without a speed of their own."""


class RecordingError(Exception):
    """A recording that cannot be used; one line that names the file, what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording.

    Attributes:
        name: of the file, without folders.
        channels: acceleration in m/s^2, float32 ``(snapshots, samples)``, by the publisher's channel name.
        fs_hz: sampling rate; None where neither the file nor its manifest says it.
        speed_rpm: shaft speed, None where unknown.
        step_s: time between snapshots; None for one continuous piece.
        scalars: slow signals by message field, one value per sample, per snapshot or per row.
        ts_s: times of the rows of a CSV without acceleration.
        unit: what the file's numbers were taken to be in.
    """

    name: str
    channels: dict[str, NDArray[np.float32]]
    fs_hz: float | None
    speed_rpm: float | None = None
    step_s: float | None = None
    scalars: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    ts_s: NDArray[np.float64] | None = None
    unit: Unit = "m/s2"


def read(
    source: str, *, fs_hz: float | None = None, speed_rpm: float | None = None, unit: Unit | None = None
) -> Recording:
    """A recording by path or ``archive:member``.

    ``fs_hz`` and ``speed_rpm`` overrule what the file and a ``MANIFEST.csv`` beside it say, ``unit`` what is usual in
    the file's format. Raises ``RecordingError``.
    """
    path, member, raw = _bytes(source)
    name = Path(member or path).name
    suffix = Path(name).suffix.lower()
    if suffix not in _READERS:
        raise RecordingError(f"{source}: unknown kind {suffix!r}; known are {', '.join(_READERS)}")
    if not raw:
        raise RecordingError(f"{source}: the file is empty; copy or record it again")
    reader, usual = _READERS[suffix]
    try:
        # Numbers beyond float32 become infinite, which is refused below in words.
        with np.errstate(over="ignore"):
            recording = _in_m_s2(reader(name, raw), unit or usual)
    except RecordingError as error:
        raise RecordingError(f"{source}: {error}") from None
    except ImportError as error:
        raise RecordingError(
            f"{source}: reading {suffix} files: {error}; pip install 'motortwin[recordings]'"
        ) from None
    except Exception as error:  # noqa: BLE001 - damage shows in a dozen exception types inside zlib, zipfile and scipy
        raise RecordingError(
            f"{source}: damaged or not a {suffix} file: {type(error).__name__}: {_line(error)}"
        ) from None
    told = _manifest(path, member)
    recording = replace(
        recording,
        fs_hz=fs_hz or _known(recording.fs_hz) or told.get("fs_hz") or _rate_in(source),
        speed_rpm=speed_rpm or _known(recording.speed_rpm) or told.get("rpm"),
    )
    _checked(source, recording)
    return recording


def _in_m_s2(recording: Recording, unit: Unit) -> Recording:
    factor = np.float32(UNITS[unit])
    return replace(recording, channels={k: samples * factor for k, samples in recording.channels.items()}, unit=unit)


def _known(value: float | None) -> float | None:
    """What a file says, unless it is no number above 0."""
    return value if value is not None and math.isfinite(value) and value > 0.0 else None


def _bytes(source: str) -> tuple[Path, str | None, bytes]:
    head, colon, member = source.rpartition(":")
    if not (colon and head.lower().endswith(ARCHIVES)):
        head, member = source, ""
    path = Path(head)
    try:
        if not member:
            if path.stat().st_size > MAX_BYTES:
                raise RecordingError(f"{source}: larger than {MAX_BYTES} bytes; cut it")
            return path, None, path.read_bytes()
        opened = _from_zip if path.suffix.lower() == ".zip" else _from_tar
        return path, member, opened(path, member)
    except FileNotFoundError:
        raise RecordingError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise RecordingError(f"{source}: is a folder; name a file in it") from None
    except KeyError:
        raise RecordingError(f"{source}: the archive holds no {member!r}") from None
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise RecordingError(f"{source}: cannot be read: {_line(error)}") from None


def _from_tar(path: Path, member: str) -> bytes:
    # A stream stops at the member instead of unpacking the whole archive to index it.
    with tarfile.open(path, "r|*") as archive:
        for item in archive:
            if item.name.removeprefix("./") == member and item.isfile():
                return _limited(archive.extractfile(item), member)
    raise KeyError(member)


def _from_zip(path: Path, member: str) -> bytes:
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        return _limited(file, member)


def _limited(file: Any, member: str) -> bytes:
    raw = cast("bytes", file.read(MAX_BYTES + 1))
    if len(raw) > MAX_BYTES:
        raise RecordingError(f"{member}: larger than {MAX_BYTES} bytes; cut it")
    return raw


def _manifest(path: Path, member: str | None) -> dict[str, float]:
    """Sampling rate and speed from a MANIFEST.csv beside the file or one folder up; empty where it says nothing."""
    wanted = {member} if member else {path.name, f"{path.parent.name}/{path.name}"}
    for folder in (path.parent, path.parent.parent):
        table = folder / MANIFEST_FILE
        if not table.is_file():
            continue
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("file") in wanted:
                    told = {key: float(row[key]) for key in ("fs_hz", "rpm") if _is_number(row.get(key))}
                    nominal = CWRU_RPM.get(row.get("load_hp", ""))
                    return ({"rpm": nominal} if nominal else {}) | told
    return {}


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and np.isfinite(float(text)) and float(text) > 0.0
    except ValueError:
        return False


def _rate_in(source: str) -> float | None:
    """Case Western keeps its files in folders named after the rate: 12k_..., 48k_..."""
    match = re.search(r"(?:^|[/:_])(12|48)k_", source)
    return float(match[1]) * 1000.0 if match else None


def _checked(source: str, recording: Recording) -> None:
    for name, samples in recording.channels.items():
        if samples.size == 0:
            raise RecordingError(f"{source}: channel {name} is empty")
        finite = np.isfinite(samples)
        if not finite.all():
            gone = f"{int(np.argmin(finite))}, {samples.size - int(finite.sum())} in all"
            raise RecordingError(f"{source}: channel {name} holds NaN or infinity (sample {gone}); cut that part out")
    if recording.channels and recording.fs_hz is None:
        raise RecordingError(f"{source}: the file does not say its sampling rate; give --fs-hz")
    if recording.speed_rpm is not None and recording.speed_rpm > MAX_RPM:
        raise RecordingError(f"{source}: {recording.speed_rpm:g} 1/min is no motor's speed; give --speed-rpm")
    times = recording.ts_s
    if times is not None and not (np.abs(times - times[0]) < MAX_SPAN_S).all():
        raise RecordingError(f"{source}: ts_s holds NaN or spans more than {MAX_SPAN_S:g} s; give seconds")


def _mat(name: str, raw: bytes) -> Recording:
    from scipy.io import loadmat  # noqa: PLC0415 - scipy is optional, only recordings need it

    body = loadmat(io.BytesIO(raw))
    return _mfpt(name, body) if "bearing" in body else _cwru(name, body)


def _cwru(name: str, body: Mapping[str, Any]) -> Recording:
    """Case Western: ``X<number>_DE_time``, FE, BA in g, ``X<number>RPM``; the number may differ from the file's."""
    channels = {}
    for key, value in body.items():
        match = re.fullmatch(r"X?\d*_?(DE|FE|BA)_time", key)
        if match and match[1] not in channels:
            channels[match[1]] = _row(np.asarray(value))
    if not channels:
        keys = ", ".join(key for key in body if not key.startswith("__"))
        raise RecordingError(
            f"holds no ..._DE_time, ..._FE_time or ..._BA_time and no struct 'bearing', only: {keys:.120}"
        )
    rpm = next((float(np.ravel(v)[0]) for k, v in body.items() if k.upper().endswith("RPM") and np.size(v)), None)
    return Recording(name, channels, fs_hz=None, speed_rpm=rpm)


def _mfpt(name: str, body: Mapping[str, Any]) -> Recording:
    """MFPT challenge: struct ``bearing`` with ``gs`` in g, ``sr`` sampling rate, ``rate`` shaft speed in Hz."""
    struct = np.ravel(body["bearing"])[0]
    known = struct.dtype.names or ()
    for needed in ("gs", "sr"):
        if needed not in known:
            raise RecordingError(f"struct 'bearing' has no field {needed!r}")
    rate = float(np.ravel(struct["rate"])[0]) if "rate" in known and np.size(struct["rate"]) else None
    return Recording(
        name,
        {"x": _row(np.asarray(struct["gs"]))},
        fs_hz=float(np.ravel(struct["sr"])[0]),
        speed_rpm=None if rate is None else 60.0 * rate,
    )


def _row(samples: NDArray[Any]) -> NDArray[np.float32]:
    if samples.dtype.kind not in "fiu":
        raise RecordingError(f"samples are of type {samples.dtype}, not numbers")
    return np.ravel(samples).astype(np.float32)[None, :]


def _femto(name: str, raw: bytes) -> Recording:
    """PRONOSTIA as NPZ: ``acc_milli_g`` (snapshots, samples, 2), horizontal and vertical, 25.6 kHz every 10 s."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as body:
        if "acc_milli_g" not in body:
            raise RecordingError(f"holds no acc_milli_g, only: {', '.join(body.files):.120}")
        acc = body["acc_milli_g"]
    if acc.ndim != 3 or acc.shape[2] != 2:
        raise RecordingError(f"acc_milli_g has shape {acc.shape}, not (snapshots, samples, 2)")
    condition = re.search(r"[Bb]earing(\d)_", name)
    return Recording(
        name,
        {axis: acc[:, :, column].astype(np.float32) for column, axis in enumerate(("x", "y"))},
        fs_hz=FEMTO_FS_HZ,
        speed_rpm=FEMTO_RPM.get(condition[1]) if condition else None,
        step_s=FEMTO_STEP_S,
    )


def _csv(name: str, raw: bytes) -> Recording:
    """A header of message fields: ``accel_m_s2.x`` (or ``x``, ``accel_m_s2``), scalars, ``ts_s``; ',' or ';'."""
    text = raw.decode("utf-8-sig")
    first, _, rest = text.partition("\n")
    delimiter = ";" if first.count(";") > first.count(",") else ","
    header = [column.strip().strip('"') for column in first.split(delimiter)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a table without rows, which is said below
            table = np.loadtxt(io.StringIO(rest), delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise RecordingError(f"not a table of numbers: {_line(error)}") from None
    if table.size == 0:
        raise RecordingError("the file has no rows below its header")
    if table.shape[1] != len(header):
        raise RecordingError(f"the header names {len(header)} columns, the rows have {table.shape[1]}")
    return _columns(name, dict(zip(header, table.T, strict=True)))


def _parquet(name: str, raw: bytes) -> Recording:
    """Columns named as in a CSV; samples as numbers, or a list of them in each row, which is then a snapshot."""
    from pyarrow import parquet  # noqa: PLC0415 - optional, only tables need it

    table = parquet.read_table(io.BytesIO(raw))
    columns = {}
    for column in table.column_names:
        values = table[column].to_pylist()
        try:
            columns[column] = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            continue  # a text or a time; what is needed is asked for by name
    recording = _columns(name, columns)
    times = columns.get("ts_s")
    snapshots = any(samples.shape[0] > 1 for samples in recording.channels.values())
    if not snapshots or times is None or len(times) < 2:
        return recording
    return replace(recording, step_s=float(np.median(np.diff(times))))


def _columns(name: str, columns: Mapping[str, NDArray[np.float64]]) -> Recording:
    axes = {axis: c for axis in get_args(Axis) for c in (f"accel_m_s2.{axis}", axis) if c in columns}
    if not axes and "accel_m_s2" in columns:
        axes = {"x": "accel_m_s2"}
    scalars = {column: columns[column] for column in OPERATING if column in columns}
    if not axes and not (scalars and "ts_s" in columns):
        raise RecordingError(
            f"there is neither accel_m_s2.x nor ts_s with any of {', '.join(OPERATING)}, only: {', '.join(columns):.80}"
        )
    return Recording(
        name,
        {axis: np.atleast_2d(columns[column].astype(np.float32)) for axis, column in axes.items()},
        fs_hz=None,
        scalars=scalars,
        ts_s=None if axes else columns["ts_s"],
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


_READERS: dict[str, tuple[Callable[[str, bytes], Recording], Unit]] = {
    ".mat": (_mat, "g"),
    ".npz": (_femto, "mg"),
    ".csv": (_csv, "m/s2"),
    ".parquet": (_parquet, "m/s2"),
}
"""How a kind of file is read, its numbers as they stand, and what they are in unless somebody says otherwise."""
