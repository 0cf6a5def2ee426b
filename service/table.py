"""What the tables of the settings are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from service.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr


class Table(BaseModel):
    """One table: what is not known is an error, what was read is not changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def readable(path: Path, what: str) -> str:
    """A file's text; raises ``SettingsError`` that names ``what``."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SettingsError(f"{what} {path} cannot be read: {reason}") from error


def secret_of(value: SecretStr | None, file: Path | None, what: str) -> str | None:
    """A secret from whichever place it stands in; a file is read anew, so that a rotated one is picked up."""
    if file is not None:
        return readable(file, what).strip()
    return value.get_secret_value() if value is not None else None


def one_place(value: SecretStr | None, file: Path | None, name: str) -> None:
    """Raises ``ValueError`` where a secret stands both in the settings and in a file, or the file cannot be read."""
    if value is not None and file is not None:
        raise ValueError(f"give {name} or {name}_file, not both")
    if file is not None and not readable(file, f"{name}_file").strip():
        raise ValueError(f"{name}_file {file} is empty")
