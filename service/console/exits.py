"""How ``motor`` ends: exit codes, and the one line that explains each but the first two."""

DONE, AMISS, USAGE, AWAY, REFUSED = range(5)
"""Done; done, and something is amiss; a mistake in the call; the edge does not answer; the edge refuses."""


class Exit(Exception):  # noqa: N818 - not always an error
    """Ends the command with one line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(" ".join(text.split()))
        self.code = code
