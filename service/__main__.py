"""``python -m service``: the edge from the command line.

Exit codes: 0 done, 1 unhealthy or not finished in time, 2 usage or settings, 3 model bundle, 4 data folder,
75 gave itself up because a graph hung: start it again.
"""

# ruff: noqa: PLC0415 - every mode imports only what it needs, so that a health check is quick

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from service import process
from service.errors import BundleError, EdgeError, StoreError
from service.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.settings import Settings

_log = logging.getLogger("service")

USAGE, BUNDLE, DATA = 2, 3, 4
_HEALTHCHECK_S = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; the exit code."""
    options = _parser().parse_args(arguments)
    process.prepare()
    if options.supervise:
        from service import supervisor

        return supervisor.supervise([] if options.config is None else ["--config", str(options.config)])
    try:
        from service import settings

        chosen = settings.load(options.config, os.environ)
        if options.show_settings:
            print(chosen.shown())
            return 0
        if options.healthcheck:
            return _healthcheck(chosen)
        if options.try_notices:
            return _try_notices(chosen)
        _log_to_stderr(chosen.log_level)
        return _self_test(chosen) if options.self_test else _run(chosen)
    except EdgeError as error:
        print(f"motortwin: {error}", file=sys.stderr)
        return BUNDLE if isinstance(error, BundleError) else DATA if isinstance(error, StoreError) else USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service", description="The motortwin edge service.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML (or MOTORTWIN_CONFIG)")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--show-settings", action="store_true", help="print the settings, secrets hidden, and exit")
    modes.add_argument("--self-test", action="store_true", help="prove bundle and data folder on this machine and exit")
    modes.add_argument("--healthcheck", action="store_true", help="ask the running service whether it is ready")
    modes.add_argument("--try-notices", action="store_true", help="tell a made-up alert on every route and exit")
    modes.add_argument("--supervise", action="store_true", help="run, and start again whenever it dies")
    modes.add_argument("--version", action="version", version=f"motortwin {VERSION}")
    return parser


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its starting and stopping are ours to tell


def _run(settings: Settings) -> int:
    """Serve until a signal ends it."""
    from service import api, opening
    from service.api import server
    from service.runtime import Runtime

    listener = server.bind(settings.http.host, settings.http.port)
    with contextlib.closing(listener):
        runtime = Runtime(settings, opening.opened(settings))
        runtime.start()
        host, port = listener.getsockname()[:2]
        try:
            # until the server takes the signals over, one that ends us must do so in good order too
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            _log.info("motortwin %s, model %s, page http://%s:%d/", VERSION, runtime.models.digest[:12], host, port)
            application = api.create(runtime)
            process.settle()
            asyncio.run(server.serve(application, listener, settings.http.trusted_proxies))
        except KeyboardInterrupt:
            _log.info("asked to end before the server stood")
        finally:
            finished = runtime.stop()
    if finished:
        _log.info("stopped")
        return 0
    _log.error("stopped before everything was finished; what was not acknowledged comes again")
    logging.shutdown()
    os._exit(1)  # a thread that hangs inside a graph would crash the interpreter's own way out


def _self_test(settings: Settings) -> int:
    """Prove the bundle's golden vectors on this machine and that the data folder can be written."""
    from service import bundle

    models = bundle.load(settings.bundle)
    manifest = models.manifest
    print(f"bundle: ok, {manifest.name} version {manifest.version}, digest {models.digest[:12]}, golden vectors agree")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_dir) as probe:
            probe.write(b"motortwin")
    except OSError as error:
        raise StoreError(f"data_dir {settings.data_dir} cannot be written: {error.strerror}") from error
    print(f"data folder: ok, {settings.data_dir}")
    print("self-test: ok")
    return 0


def _try_notices(settings: Settings) -> int:
    """Tell a made-up alert on every route; 0 when every one took it."""
    from service.notices import routes

    outcomes = list(routes.tried(settings))
    for route, outcome in outcomes:
        print(f"{route}: {' '.join(filter(None, (outcome.result, outcome.text)))}")
    if not outcomes:
        print("no route is set: see [webhooks.NAME] and [mail]")
    return 0 if all(outcome.result == "delivered" for _, outcome in outcomes) else 1


def _healthcheck(settings: Settings) -> int:
    """Ask the service on this machine; 0 when it is ready."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)  # noqa: S104 - not bound here
    connection = http.client.HTTPConnection(host, settings.http.port, timeout=_HEALTHCHECK_S)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = json.loads(answer.read(65_536))
        print(": ".join([body["status"], *body["reasons"]]))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        print(f"unready: http://{host}:{settings.http.port} does not answer: {error}")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
