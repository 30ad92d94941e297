"""Every command of the README is run here as it stands, in order, in one folder; and its Python too."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from catscale.reports.zoo_table import zoo_table
from catscale.scaler.cost import CONVENTIONS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ").split("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]


def test_every_catscale_command_works(
    cli: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    commands = [command for command in COMMANDS if command.startswith("catscale ")]
    assert len(commands) > 10
    for command in commands:
        done = cli(*command.split()[1:], cwd=tmp_path)
        refused = command.startswith("catscale latency") and ": refused: " in done.stderr  # as a busy machine must
        assert done.returncode == 0 or refused, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    for made in ("e6.yaml", "runs/first/best.safetensors", "report/index.html", "runs/first-found/000001.jpg"):
        assert (tmp_path / made).is_file(), made


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_every_make_target_is_there(command: str) -> None:
    around = ("MAKE", "MFLAGS", "VENV", "PYTHON")  # what a make that runs these tests hands on
    fresh = {name: value for name, value in os.environ.items() if not name.startswith(around)}
    dry = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, env=fresh, capture_output=True, text=True, check=False
    )
    assert dry.returncode == 0, dry.stderr
    assert ".venv" in dry.stdout


def test_the_python_example_prints_what_it_says(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (promised,) = re.findall(r"# (\d+ \d+)$", example, re.MULTILINE)
    assert done.stdout.strip() == promised


def test_every_link_and_picture_is_there() -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_table_of_the_zoo_is_what_the_command_counts() -> None:
    """The table shows some of the zoo, in the command's order; `docs/flops-conventions.md` has all of it."""
    told = re.findall(
        r"^\| (\S+) \| (\d+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) M, ([\d.]+) G \| (\w+),", README, re.M
    )
    counted = [
        (
            row["name"],
            str(row["size"]),
            f"{row['params']:,}",
            f"{row['params_train']:,}",
            f"{row['flops_g']:.2f}",
            f"{row['published']['params_m']:.1f}",
            f"{row['published']['flops_g']:.1f}",
            "equal" if row["equal"] else "differs",
        )
        for row in zoo_table()
        if row["published"]
    ]
    assert told == [row for row in counted if row in told]
    assert len(told) > 15


def test_the_page_of_conventions_has_every_published_row_and_every_convention() -> None:
    page = (ROOT / "docs/flops-conventions.md").read_text(encoding="utf-8")
    told = re.findall(
        r"^\| (\S+) \| (\d) \| (\d+) \| ([\d.]+) M, ([\d.]+) G \| ([\d.]+) M, ([\d.]+) G \| `(\S+)` \| (\w+) \|$",
        page,
        re.M,
    )
    counted = [
        (
            row["name"],
            str(printed["table"]),
            str(printed["size"]),
            f"{printed['params_m']:.1f}",
            f"{printed['flops_g']:.1f}",
            f"{each['as_published']['params_m']:.1f}",
            f"{each['as_published']['flops_g']:.1f}",
            printed["convention"],
            "equal" if each["equal"] else "differs",
        )
        for row in zoo_table()
        if row["published"]
        for each in (row, *row["also_published"])
        if (printed := each["published"])
    ]
    assert told == counted
    named = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \|", page, re.M)
    assert {name for cell in named for name in re.findall(r"`([\w-]+)`", cell)} == CONVENTIONS.keys()
