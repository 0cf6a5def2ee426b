"""One message over SMTP: encrypted before a password is said, threaded by alert, no markup."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
import time
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import TYPE_CHECKING

from service.errors import SettingsError
from service.notices import wording
from service.notices.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.notices.notice import Notice, Origin
    from service.notices.options import MailSettings


class Mail:
    """Tells people by e-mail."""

    def __init__(self, options: MailSettings, origin: Origin) -> None:
        self.batch = 1
        self.repeat_s: float | None = None
        self._options = options
        self._origin = origin

    @property
    def place(self) -> str:
        """The server."""
        return self._options.host

    def tell(self, notices: Sequence[Notice]) -> Outcome:
        """One attempt; never raises for what the other side or the network does."""
        (notice,) = notices
        try:
            with self._session() as session:
                refused = session.send_message(self._message(notice), self._options.sender, self._options.to)
        except smtplib.SMTPRecipientsRefused as error:
            return self._answered(min(code for code, _ in error.recipients.values()), "every recipient is refused")
        except smtplib.SMTPAuthenticationError as error:
            # a password is rotated without a restart, so it is worth another try
            return Outcome("failed", f"refuses the password: {_text(error)}")
        except smtplib.SMTPResponseException as error:
            return self._answered(error.smtp_code, _text(error))
        except SettingsError as error:
            return Outcome("failed", str(error))
        except (smtplib.SMTPException, OSError) as error:
            return Outcome("failed", f"does not answer: {getattr(error, 'strerror', None) or error}")
        return Outcome("delivered", f"refuses {', '.join(refused)}" if refused else "")

    def _session(self) -> smtplib.SMTP:
        options = self._options
        port, ca = options.port_number(), options.ca_file
        if options.security == "none":
            return smtplib.SMTP(options.host, port, timeout=options.timeout_s)
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        session: smtplib.SMTP
        if options.security == "tls":
            session = smtplib.SMTP_SSL(options.host, port, timeout=options.timeout_s, context=context)
        else:
            session = smtplib.SMTP(options.host, port, timeout=options.timeout_s)
        try:
            if options.security == "starttls":
                session.starttls(context=context)
            secret = options.secret()
            if options.username is not None and secret is not None:
                session.login(options.username, secret)
        except BaseException:
            session.close()
            raise
        return session

    def _message(self, notice: Notice) -> EmailMessage:
        alert, options = notice.alert, self._options
        message = EmailMessage()
        message["From"] = options.sender
        message["To"] = ", ".join(options.to)
        message["Subject"] = f"[motortwin] {wording.title(notice)}"
        message["Date"] = format_datetime(localtime())
        message["Auto-Submitted"] = "auto-generated"
        # the first message of an alert is what the later ones answer, so that a mail program shows them together
        first = self._message_id(alert.id)
        message["Message-ID"] = first if alert.state == "open" else self._message_id(notice.key)
        if alert.state != "open":
            message["In-Reply-To"] = message["References"] = first
        facts = "\n".join(f"{label}: {text}" for label, text in wording.facts(notice, self._origin).items())
        link = self._origin.link(alert.motor)
        told = f"Told by {self._origin.node} at {wording.moment(time.time())}."
        message.set_content("\n\n".join(filter(None, (alert.reason, facts, link, told))) + "\n")
        return message

    def _message_id(self, text: str) -> str:
        digest = hashlib.sha256(f"{self._origin.node}/{text}".encode()).hexdigest()[:32]
        return f"<{digest}@{self._options.sender.rpartition('@')[2]}>"

    @staticmethod
    def _answered(code: int, text: str) -> Outcome:
        return Outcome("refused" if 500 <= code < 600 else "failed", f"answers {code}: {text}")


def _text(error: smtplib.SMTPResponseException) -> str:
    raw = error.smtp_error
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    return " ".join(text.split())[:120]
