"""``motor``, the edge at the terminal: one file a command, the standard library only, over the edge's own HTTP API.

A command is a module with ``declare(commands)``, which adds its parser and sets ``command`` to a function from the
parsed options to an exit code (``exits``). ``edge`` asks, ``terminal`` writes; ``--json`` prints what programs read.
"""
