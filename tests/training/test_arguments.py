"""Arguments from a file and from the command line, by the real commands; every command teaches."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.__main__ import _MODULES, main
from training.console.arguments import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.training

ALL = [(name,) for name in COMMANDS] + [("gan", name) for name in ("fit", "sample", "report")]


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(_MODULES) == set(COMMANDS)
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", told, re.MULTILINE), name
    assert main([]) == 2
    assert capsys.readouterr().err == told
    assert main(["prepair"]) == 2
    assert capsys.readouterr().err == "training: 'prepair' is no command; did you mean prepare?\n"


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_every_command_teaches_by_an_example_and_explains_every_option(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    told, _, example = capsys.readouterr().out.partition("example:\n")
    assert example.startswith(f"  python -m training {' '.join(command)}") or command == ("gan",)
    if command != ("gan",):
        assert set(re.findall(r"--[a-z-]+", example)) <= set(re.findall(r"--[a-z-]+", told))
    assert f"--config FILE.toml   arguments, in its table [{'.'.join(command)}]" in re.sub(r" +(?=arg)", "   ", told)
    # a long option's explanation stands on the next line
    options = re.findall(r"^  -.*(?:\n {10,}\S.*)*", told, re.MULTILINE)
    assert len(options) > 1
    seeds = [option for option in options if option.startswith("  --seed ")]
    assert all(option.endswith("(default: 0)") for option in seeds)
    assert [option for option in options if not re.search(r"\S\s{2,}\S", option)] == []


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "monday.csv"
    np.savetxt(path, np.random.default_rng(1).normal(size=4096), header="x", comments="", fmt="%.4f")
    return path


def test_a_file_of_arguments_stands_behind_the_command_line(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plant.toml"
    file.write_text(
        "[prepare]\nseed = 3\n"
        f'[score]\nfiles = ["{recording}"]\nbearing = "6205"\nspeed-rpm = 1480\nfs_hz = 12000.0\njson = true\n'
    )
    assert main(["score", "--config", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["speed_known"]) == (str(recording), True)
    other = tmp_path / "tuesday.csv"
    other.write_bytes(recording.read_bytes())
    assert main(["score", str(other), f"--config={file}", "--no-json", "--unit", "m/s2"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{other}: ")
    assert told.count("\n") == 1
    assert main(["score", "--config", str(file), "--fs-hz", "100"]) == 2
    assert "100 Hz; the models take" in capsys.readouterr().err


def test_a_step_of_training_takes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "models.toml"
    file.write_text(f'[prepare]\nseed = 3\nwindows = 7\nworkers = 1\nwork = "{tmp_path / "work"}"\n[fit]\nepochs = 1\n')
    assert main(["prepare", "--config", str(file), "--windows", "5"]) == 0
    assert "1024 of" in capsys.readouterr().out
    prepared = json.loads((tmp_path / "work" / "prepared.json").read_text())
    assert (prepared["seed"], prepared["windows"]) == (3, 5)


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        (["train"], "[train]\nwindos = 1", "[train] windos is unknown; did you mean windows?"),
        (["train"], "[trian]\nseed = 1", "[trian] is no command; did you mean train?"),
        (["train"], "seed = 1", "[seed] is no command; known are fetch,"),
        (["train"], "train = 1", "train must be a table of arguments, [train]"),
        (["train"], "[train]\nseed = 1.5", "[train] seed: 1.5 is no int"),
        (["train"], "[train]\nseed = true", "[train] seed: True is no value of it"),
        (["train"], "[train]\nseed = -1", "--seed -1: must be 0 at least"),
        (["train"], "[train]\nsure = 1", "[train] sure: 1 must be true or false"),
        (["train"], "[train]\ndata = []", "[train] data: names nothing"),
        (["train"], '[train]\nunit = "lb"', "[train] unit: 'lb' is none of m/s2, g, mg"),
        (["score"], "[score]\nfs_hz = -1", "[score] fs_hz: -1 must be above 0"),
        (["train"], "[train", "is not TOML"),
        (["train"], None, "cannot be read: No such file"),
        (["gate"], '[gate]\nchampoin = "a"', "[gate] champoin is unknown; did you mean champion?"),
        (["evaluate"], "[evaluate]\nonyl = 1", "[evaluate] onyl is unknown; did you mean only?"),
        (["fetch"], '[fetch]\ndata_set = ["cwrü"]', "unknown data set 'cwrü'"),
        (["gan", "fit"], "[gan.fit]\nstepz = 1", "[gan.fit] stepz is unknown; did you mean steps?"),
        (["gan", "fit"], "[gan]\ndaten = 1", "[gan] daten is unknown; did you mean data?"),
    ],
)
def test_a_wrong_file_of_arguments_is_one_line(
    command: list[str], text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.toml"
    if text is not None:
        file.write_text(text)
    try:
        status = main([*command, "--config", str(file)])
    except SystemExit as end:
        status = end.code  # type: ignore[assignment]
    assert status == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
