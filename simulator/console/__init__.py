"""One file per command of ``python -m simulator``: its options, its help, what it does.

A command is a module with ``declare(commands)``, which adds its parser and sets ``command`` to a function from the
parsed options to an exit status.
"""
