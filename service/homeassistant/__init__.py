"""Home Assistant: ``options`` are its settings, ``discovery`` the messages by which it finds the motors."""
