"""The page of settings says what the types say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service import reference, settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_in_the_tree_is_what_the_types_say() -> None:
    call = [sys.executable, "-m", "service.reference", "--check"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_page_would_be_noticed(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(reference, "PAGE", tmp_path / "SETTINGS.md")
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    reference.PAGE.write_text(reference.PAGE.read_text().replace("8080", "8081"))
    assert reference.main(["--check"]) == 1
    assert "python -m service.reference" in capsys.readouterr().err


def test_every_variable_of_the_environment_has_a_line_in_its_table() -> None:
    text = reference.page()
    for *table, name in settings._leaves():
        heading = f"## [{table[0]}]" if table else "## At the top"
        section = text.partition(heading + "\n")[2].partition("\n## ")[0]
        assert f"\n| `{name}` |" in section, (table, name)
