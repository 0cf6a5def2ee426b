"""What can go wrong at the edge, in words that name a field and a remedy; no transport, no status codes.

Every text is one line: it ends up in a log, on a page or in a terminal, never as a traceback.
"""


class EdgeError(Exception):
    """Base of the family; folds its text onto one line."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


class SettingsError(EdgeError):
    """A setting is missing, unknown or out of range."""


class BundleError(EdgeError):
    """A model bundle that this machine does not trust: incomplete, altered, misfit or failing its golden vectors."""


class NotOffered(BundleError):  # noqa: N818 - named after what was found
    """Nobody offers a bundle of this name."""


class InferenceError(EdgeError):
    """A graph refused its input, failed, or answered with numbers that mean nothing."""


class CorruptState(EdgeError):  # noqa: N818 - named after what was found
    """Stored motor state that cannot be read back; the motor starts afresh."""


class StoreError(EdgeError):
    """What must survive a power cut cannot be written or read back."""
