"""The store, tried until it works: a full, read-only or damaged disk costs durability and is said aloud, no more.

While the store fails the service goes on inferring and alerting from memory; when it can be opened again, everything
is written once, in one transaction, and group commits go on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from service.errors import StoreError
from service.store import Changes, InUse, NewerSchema, Restored, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.metrics import Metrics

_log = logging.getLogger(__name__)

_RETRY_S = 5.0


class Journal:
    """Commits what changes; knows whether that worked. One thread owns it."""

    def __init__(self, store: Store, metrics: Metrics, everything: Callable[[], Changes]) -> None:
        self._store = store
        self._metrics = metrics
        self._everything = everything
        self._retry_at_s = 0.0
        self._read = False
        self._adopt: Callable[[Restored], Changes] = lambda _: Changes()
        self.fault: str | None = None
        """Why nothing is saved at present, for a person; None while all is well."""

    def begin(self, adopt: Callable[[Restored], Changes], now_s: float) -> None:
        """Open the store; what it held goes to ``adopt``, now or when it can first be read, and what follows is saved.

        Raises:
            InUse, NewerSchema: the folder is not ours to use; a service must not start on it.
        """
        self._adopt = adopt
        try:
            self._store.commit(self._open())
        except (InUse, NewerSchema):
            raise
        except StoreError as error:
            self._failed(error, now_s)

    def commit(self, changes: Changes, now_s: float) -> None:
        """Write a batch; while the store fails, try everything at once every few seconds instead."""
        if self.fault is not None:
            self.retry(now_s)
            return
        if not changes:
            return
        try:
            self._store.commit(changes)
        except StoreError as error:
            self._failed(error, now_s)

    def retry(self, now_s: float) -> bool:
        """Try a failed store again when its time has come; True when everything has just been saved."""
        if self.fault is None or now_s < self._retry_at_s:
            return False
        try:
            self._open()
            self._store.commit(self._everything())
        except StoreError as error:
            self._failed(error, now_s)
            return False
        _log.warning("the store works again; everything is saved")
        return True

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _open(self) -> Changes:
        restored = self._store.open()
        self._note_moved_aside()
        changes = Changes()
        if not self._read:
            changes = self._adopt(restored)
            self._read = True
        self.fault = None
        self._metrics.store_up.set(1)
        return changes

    def _failed(self, error: StoreError, now_s: float) -> None:
        if self.fault is None:
            _log.error("%s; the service goes on without saving", error)
        self.fault = str(error)
        self._retry_at_s = now_s + _RETRY_S
        self._metrics.store_failures.inc()
        self._metrics.store_up.set(0)
        self._note_moved_aside()

    def _note_moved_aside(self) -> None:
        if self._store.moved_aside:
            self._metrics.store_moved_aside.inc(self._store.moved_aside)
            self._store.moved_aside = 0
