"""E-mail through a real SMTP server on the loopback: encrypted, with a password, threaded, and past refusals."""

from __future__ import annotations

import email
import socket
import ssl
import warnings
from email import policy
from typing import TYPE_CHECKING, Any

import pytest

from service.notices.mail import Mail
from service.notices.notice import Notice, Origin
from service.notices.options import MailSettings
from tests.receiver import certificate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from service.contract.messages import Alert

# over implicit TLS the library takes the connection for an open one
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
PASSWORD = "s3same"  # noqa: S105 - made up


class Inbox:
    """Keeps what is delivered; refuses recipients that begin with ``no``."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _: Any) -> str:  # noqa: N802 - the library's name
        """One recipient."""
        if address.startswith("no"):
            return "550 unknown here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """One message."""
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.got.append(email.message_from_bytes(envelope.content, policy=policy.default))
            self.encrypted.append(session.ssl is not None)
        return self.answer


def authenticated(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: Any) -> AuthResult:
    assert isinstance(login, LoginPassword)
    return AuthResult(success=(login.login, login.password) == (b"edge", PASSWORD.encode()), handled=False)


def probed(controller: Controller) -> None:
    """The library's own probe goes to the port that was asked for, which is 0, and speaks no TLS."""
    with socket.create_connection(("localhost", controller.server.sockets[0].getsockname()[1])):
        controller._factory_invoked.wait(5.0)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def post(inbox: Inbox, tmp_path: Path) -> Iterator[Callable[..., MailSettings]]:
    """Starts a server of the demanded kind; the settings that reach it."""
    cert, key = certificate(tmp_path)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    started: list[Controller] = []

    def make(security: str, **fields: Any) -> MailSettings:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        how: dict[str, Any] = {
            "starttls": {"tls_context": context, "require_starttls": True},
            "tls": {"ssl_context": context, "auth_require_tls": False},
            "none": {},
        }[security]
        if security != "none":
            how |= {"authenticator": authenticated, "auth_required": True}
            fields = {"username": "edge", "password_file": tmp_path / "password", "ca_file": cert} | fields
        controller = Controller(inbox, hostname="localhost", port=0, **how)
        controller._trigger_server = lambda: probed(controller)
        controller.start()
        started.append(controller)
        assert controller.server is not None
        port = controller.server.sockets[0].getsockname()[1]
        to = fields.pop("to", ("anna@plant.example", "bob@plant.example"))
        return MailSettings(
            host="localhost", port=port, security=security, sender="edge@plant.example", to=to, timeout_s=5.0, **fields
        )

    yield make
    for controller in started:
        controller.stop(no_assert=True)


ORIGIN = Origin("hall-3", "https://edge.plant")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_alert_arrives_encrypted_and_after_the_password(
    security: str, post: Callable[..., MailSettings], inbox: Inbox, alert: Callable[..., Alert]
) -> None:
    mail = Mail(post(security), ORIGIN)
    outcome = mail.tell([Notice(alert(severity=0.4, rul_h=70.0), "Press 4")])
    assert (outcome.result, outcome.text) == ("delivered", "")
    (message,) = inbox.got
    assert message["Subject"] == "[motortwin] Alert: Press 4 (m1): ball fault"
    assert message["To"] == "anna@plant.example, bob@plant.example"
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content()
    assert text.startswith("because")
    assert "Life left: about 70 h" in text
    assert "https://edge.plant/#/motor/m1" in text


def test_starttls_comes_before_the_message(
    post: Callable[..., MailSettings], inbox: Inbox, alert: Callable[..., Alert]
) -> None:
    Mail(post("starttls"), ORIGIN).tell([Notice(alert(), "")])
    assert inbox.encrypted == [True]


def test_the_messages_of_one_alert_hang_together(
    post: Callable[..., MailSettings], inbox: Inbox, alert: Callable[..., Alert]
) -> None:
    mail = Mail(post("none"), ORIGIN)
    for number, state in enumerate(("open", "update", "clear")):
        assert mail.tell([Notice(alert(state=state, revision=number), "")]).result == "delivered"
    first, *later = inbox.got
    assert [message["In-Reply-To"] for message in later] == [first["Message-ID"]] * 2
    assert len({message["Message-ID"] for message in inbox.got}) == 3


def test_a_name_with_line_breaks_adds_no_header(
    post: Callable[..., MailSettings], inbox: Inbox, alert: Callable[..., Alert]
) -> None:
    outcome = Mail(post("none"), ORIGIN).tell([Notice(alert(), "P4\r\nBcc: eve@evil.example\r\n\r\nbuy")])
    assert outcome.result == "delivered"
    assert inbox.got[0]["Bcc"] is None
    assert "P4 Bcc: eve@evil.example buy" in inbox.got[0]["Subject"]


def test_a_wrong_password_is_tried_again_later_and_not_told(
    post: Callable[..., MailSettings], alert: Callable[..., Alert], tmp_path: Path
) -> None:
    settings = post("starttls")
    (tmp_path / "password").write_text("wr0ng")
    mail = Mail(settings, ORIGIN)
    outcome = mail.tell([Notice(alert(), "")])
    assert outcome.result == "failed"
    assert "password" in outcome.text
    assert "wr0ng" not in outcome.text
    (tmp_path / "password").write_text(PASSWORD)
    assert mail.tell([Notice(alert(), "")]).result == "delivered"


def test_refusals_are_told_apart_from_troubles(
    post: Callable[..., MailSettings], inbox: Inbox, alert: Callable[..., Alert]
) -> None:
    notice = [Notice(alert(), "")]
    nobody = Mail(post("none", to=("nobody@plant.example",)), ORIGIN)
    assert nobody.tell(notice).result == "refused"
    some = Mail(post("none", to=("nobody@plant.example", "anna@plant.example")), ORIGIN)
    assert some.tell(notice).text == "refuses nobody@plant.example"
    mail = Mail(post("none"), ORIGIN)
    inbox.answer = "451 later"
    assert mail.tell(notice).result == "failed"
    inbox.answer = "554 never"
    assert mail.tell(notice).result == "refused"


def test_a_server_that_is_away_or_a_stranger_is_a_trouble(
    post: Callable[..., MailSettings], inbox: Inbox, alert: Callable[..., Alert]
) -> None:
    settings = post("starttls")
    stranger = Mail(settings.model_copy(update={"ca_file": None}), ORIGIN).tell([Notice(alert(), "")])
    assert stranger.result == "failed"
    assert "certificate" in stranger.text.lower()
    away = Mail(settings.model_copy(update={"port": 1}), ORIGIN).tell([Notice(alert(), "")])
    assert away.result == "failed"
    assert inbox.got == []
