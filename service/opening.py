"""Which bundle the service starts with: the one accepted last, unless it is gone, no longer trusted, or outranked.

The installation's own bundle is trusted because it is part of the installation; it is what is left when nothing else
can be used. An installation that is upgraded to a bundle of higher rank than the one accepted last starts with its own.
A bundle whose soak did not end, because the service died in it, is refused.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from service import bundle, gate
from service.errors import BundleError, StoreError
from service.ledger import Entry, Ledger
from service.signature import Trust
from service.store import InUse

if TYPE_CHECKING:
    from pathlib import Path

    from service.bundle import Bundle, Files
    from service.gate import Gate
    from service.settings import Settings

_log = logging.getLogger(__name__)


class Own(NamedTuple):
    """The installation's bundle."""

    folder: Path
    entry: Entry


class Opened(NamedTuple):
    """What the service starts with; ``fault``: why no new bundle can be taken, None where one can."""

    models: Bundle
    entry: Entry
    gate: Gate
    own: Own
    ledger: Ledger
    trust: Trust
    fault: str | None


DIED = "the service died while it was on probation"


def opened(settings: Settings) -> Opened:
    """Open the ledger and choose the bundle.

    Raises:
        InUse: another service works on the data folder.
        SettingsError: a public key cannot be read.
        BundleError: there is no bundle that can run.
    """
    trust = Trust.of_files(settings.trust.keys, required=settings.trust.require_signature)
    ledger, fault = Ledger(settings.data_dir), None
    try:
        ledger.open()
    except InUse:
        raise
    except StoreError as error:
        fault = str(error)
        _log.error("%s", fault)
    return Opened(*first(settings.bundle, ledger, trust), ledger, trust, fault)


def first(folder: Path, ledger: Ledger, trust: Trust) -> tuple[Bundle, Entry, Gate, Own]:
    """The bundle to start with, its rank, what its gate said of it, and the installation's.

    Args:
        folder: the installation's bundle.
        ledger: an open one.
        trust: whose bundles are taken.

    Raises:
        BundleError: there is none that can run.
    """
    record = ledger.record
    if record.soaking is not None:
        _log.error("bundle %s is refused: %s", (record.soaking.digest or "")[:12], DIED)
        record = record.refusing(record.soaking, DIED).model_copy(update={"soaking": None})
        try:
            ledger.write(record)
        except StoreError as error:
            _log.error("%s", error)
    own = Own(folder, _installed(folder, trust))
    active = record.active
    if active is None or active.digest is None or active.rank < own.entry.rank:
        return *load_own(own), own
    try:
        return *load_kept(active, ledger, trust), own
    except BundleError as error:
        _log.error("the bundle in use, %s, cannot run any more: %s; back to the installation's", active.digest, error)
        return *load_own(own), own


def load_kept(entry: Entry, ledger: Ledger, trust: Trust) -> tuple[Bundle, Entry, Gate]:
    """A bundle that is kept, checked and proven anew; raises ``BundleError``."""
    files = bundle.read(ledger.kept(str(entry.digest)))
    trust.check(files.raw_manifest, files.signature)
    return _proven(files), entry, gate.read(files, trust)


def load_own(own: Own) -> tuple[Bundle, Entry, Gate]:
    """The installation's bundle, checked and proven; raises ``BundleError``."""
    files = bundle.read(own.folder)
    return _proven(files), own.entry, gate.read(files, None)


def _proven(files: Files) -> Bundle:
    chosen = bundle.Bundle(files)
    bundle.prove_golden(chosen, files.golden)
    return chosen


def _installed(folder: Path, trust: Trust) -> Entry:
    files = bundle.read(folder)
    release = 0
    if files.signature is not None:
        try:
            release = trust.check(files.raw_manifest, files.signature)
        except BundleError as error:
            _log.warning("the installation's bundle is taken without its signature: %s", error)
    return Entry(release=release, version=files.manifest.version, digest=files.digest)
