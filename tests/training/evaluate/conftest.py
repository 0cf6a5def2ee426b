"""These tests need the training environment: torch, scikit-learn, matplotlib."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
