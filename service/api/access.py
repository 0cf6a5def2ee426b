"""Who may change something: whoever shows the token. Without a token in the settings nothing can be changed."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from service.api.shield import failure
from service.errors import SettingsError

if TYPE_CHECKING:
    from starlette.responses import Response

    from service.metrics import Metrics
    from service.settings import HttpSettings


def refusal(authorization: str | None, settings: HttpSettings, metrics: Metrics) -> Response | None:
    """Why this request may not change anything, or None.

    Args:
        authorization: the request's header, ``Bearer TOKEN``.
        settings: where the token stands.
        metrics: where wrong tokens are counted.
    """
    try:
        token = settings.secret()
    except SettingsError as error:
        return failure(503, "token", str(error), "make the token file readable for the edge")
    if token is None:
        remedy = "set MOTORTWIN_HTTP_TOKEN or MOTORTWIN_HTTP_TOKEN_FILE and restart the edge"
        return failure(403, "changes_off", "this edge has no token, so nothing can be changed", remedy)
    scheme, _, shown = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), token.encode()):
        if authorization is not None:
            metrics.tokens_refused.inc()
        answer = failure(401, "token", "the token is missing or wrong", "send the header Authorization: Bearer TOKEN")
        answer.headers["www-authenticate"] = "Bearer"
        return answer
    return None
