"""The commands of ``python -m training`` without a room of their own, and what all commands share (``arguments``)."""
