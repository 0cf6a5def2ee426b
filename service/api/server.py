"""uvicorn inside our process: our signals, our log, and streams that end before the sockets do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from service.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from fastapi import FastAPI

_GRACE_S = 3


class _Server(uvicorn.Server):
    """uvicorn re-raises the signal that ended it, which would end us before the last commit; here signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """The listening socket; raises ``SettingsError`` where host or port cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # who asks while we start waits instead of being refused
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"http {host}:{port} cannot be listened on: {error.strerror}; set http.host or http.port"
        ) from error
    return listener


async def serve(app: FastAPI, listener: socket.socket, proxies: Sequence[IPv4Network | IPv6Network] = ()) -> None:
    """Answer until SIGTERM or SIGINT; the ``proxies`` alone may say on whose behalf they ask."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        lifespan="off",
        # left to itself, uvicorn believes whoever asks from this machine
        proxy_headers=bool(proxies),
        forwarded_allow_ips=[str(network) for network in proxies],
    )
    server = _Server(config)

    def stop() -> None:
        app.state.streams.closing.set()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve(sockets=[listener])
