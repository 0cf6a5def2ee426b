"""How often one client may ask, and how many wrong tokens it may show: token buckets in a bounded table.

A bucket holds ``burst`` and fills at ``per_s``; a request that finds none is told how long to wait. Clients are known
by their address, those of IPv6 by their network of 64 bits. When the table is full, whoever asked longest ago is
forgotten. One event loop owns it.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

MAX_CLIENTS = 4096


class Buckets:
    """One bucket for each client."""

    def __init__(self, per_s: float, burst: float, max_clients: int = MAX_CLIENTS) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_clients = max_clients
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def wait_s(self, client: str, now_s: float) -> float:
        """Seconds until this client's bucket holds one; 0 where it does."""
        return max(0.0, 1.0 - self._level(client, now_s)) / self._per_s

    def take(self, client: str, now_s: float) -> float:
        """Takes one; as ``wait_s``, and nothing is taken from a bucket that holds less than one."""
        level = self._level(client, now_s)
        taken = level >= 1.0
        self._held[client] = (level - taken, now_s)
        self._held.move_to_end(client)
        if len(self._held) > self._max_clients:
            self._held.popitem(last=False)
        return 0.0 if taken else (1.0 - level) / self._per_s

    def _level(self, client: str, now_s: float) -> float:
        level, at_s = self._held.get(client, (self._burst, now_s))
        return min(self._burst, level + (now_s - at_s) * self._per_s)


def name_of(host: str) -> str:
    """What a client is known by."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a socket without an address
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
