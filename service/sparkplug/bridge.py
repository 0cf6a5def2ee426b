"""The thread that tells Sparkplug hosts what changed, on a connection whose will is the node's death."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from service.mqtt import Link
from service.sparkplug.births import REBIRTH, Births
from service.sparkplug.payload import true_metrics
from service.version import VERSION
from service.wire import Listener, Will

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.live import Live
    from service.metrics import Metrics
    from service.settings import Settings
    from service.sparkplug.births import Message
    from service.wire import Delivery

_log = logging.getLogger(__name__)

FILE = "sparkplug.bdseq"
_REBIRTH_S = 1.0
_STOP_S = 3.0


class Bridge:
    """``start``, ``stop`` and ``fault`` belong to the runtime."""

    def __init__(self, settings: Settings, live: Live, metrics: Metrics, model: Callable[[], str]) -> None:
        self._interval_s = settings.sparkplug.interval_s
        self._live = live
        self._metrics = metrics
        self._model = model
        self._file = settings.data_dir / FILE
        self._births = Births(settings.sparkplug.group, settings.node, _stored(self._file) + 1)
        self._spent = False
        self._born = False
        self._change = 0
        self._reborn_s = 0.0
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sparkplug", daemon=True)
        will = Will(self._births.death()[0], self._will, retain=False)
        client_id = f"motortwin-{settings.node}-sparkplug"
        self._link = Link(settings.mqtt, client_id, (self._births.commands,), will, clean=True)

    @property
    def fault(self) -> str | None:
        """Why hosts are told nothing at present, for a person; None while all is well."""
        return f"sparkplug: {self._link.fault}" if self._link.fault is not None else None

    def start(self) -> None:
        """Begin."""
        self._link.listen(
            Listener(
                room=lambda: True,
                delivered=self._commanded,
                connected=lambda _kept: self._connected(),
                acknowledged=lambda _token, _accepted: None,
                lost=self._lost,
            )
        )
        self._thread.start()

    def stop(self) -> None:
        """Say that the node leaves, and leave."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        if self._born:
            self._tell(self._births.death())
        self._link.close()

    def _will(self) -> bytes:
        """The death of the connection that is about to be made."""
        if self._spent:
            self._births.next_connection()
            self._spent = False
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(f"{self._births.bd_seq}\n", encoding="ascii")
        except OSError as error:  # a host that sees the same number twice takes the birth all the same
            _log.warning("%s cannot be written: %s", self._file, error.strerror)
        return self._births.death()[1]

    def _connected(self) -> None:
        self._spent = True
        self._wanted.set()

    def _lost(self) -> None:
        self._born = False

    def _commanded(self, delivery: Delivery) -> None:
        if delivery.token is not None:
            self._link.acknowledge([delivery.token])
        try:
            if delivery.retain or REBIRTH not in true_metrics(delivery.payload):
                return
        except (ValueError, UnicodeDecodeError):
            self._metrics.sparkplug["refused"].inc()
            return
        self._metrics.sparkplug["rebirth"].inc()
        self._wanted.set()

    def _work(self) -> None:
        while not self._stopping.wait(self._interval_s):
            if not self._link.connected:
                continue
            now_s = time.monotonic()
            # whoever asks for births all the time gets one a second
            if self._wanted.is_set() and now_s - self._reborn_s >= _REBIRTH_S:
                self._wanted.clear()
                self._reborn_s = now_s
                self._change = 0
                self._born = self._tell(self._births.birth(self._facts()))
            if self._born:
                self._turn()

    def _turn(self) -> None:
        """Everything that changed since the last turn; a message that cannot be sent ends the session's picture."""
        messages = [self._births.data(self._facts())]
        news = self._live.news(self._change)
        messages += [self._births.gone(motor) for motor in news.gone]
        for motor in news.motors:
            messages.append(self._births.motor(motor))
        if all(self._tell(message) for message in messages if message is not None):
            self._change = news.change
        else:
            self._born = False
            self._wanted.set()

    def _facts(self) -> dict[str, str]:
        return {"version": VERSION, "model": self._model()}

    def _tell(self, message: Message) -> bool:
        told = self._link.publish(*message) is not None
        self._metrics.sparkplug["sent" if told else "lost"].inc()
        return told


def _stored(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return -1
