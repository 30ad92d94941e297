"""The house itself: what is imported when, what a wheel holds, and that its words are true."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("blocks", "scaler", "trainer", "search", "reports")


def tracked() -> list[str]:
    """Files of the repository, as in the working tree."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if (ROOT / name).is_file()]


@pytest.mark.parametrize(
    "code",
    [
        "import catscale; catscale.load('yolov7-e6').scale(compound=2).cost(1280).flops('paper')",
        "import catscale.cli",
        "from catscale.reports.zoo_table import zoo_table; zoo_table([])",
        "from catscale.reports.space_command import space; from pathlib import Path; "
        "space(Path('studies/quickstart.yaml'), '3', as_json=True)",
    ],
)
def test_loading_scaling_and_counting_do_without_torch(code: str) -> None:
    heavy = "{'torch', 'cv2', 'optuna', 'matplotlib', 'pandas'} & set(sys.modules)"
    script = f"import sys; {code}; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_wheel_holds_every_file_of_the_rooms_and_nothing_else(tmp_path: Path) -> None:
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", wheels, source], check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    studies = {name for name in tracked() if name.startswith("studies/") and name.endswith((".yaml", ".json"))}
    rooms = {name for name in tracked() if name.split("/")[0] in ROOMS}
    assert packed == {f"catscale/{name}" for name in {"__init__.py", "cli.py"} | rooms | studies}


VERBS = [
    "zoo",
    "scale",
    "profile",
    "space",
    "reparam",
    "latency",
    "draw",
    "train",
    "val",
    "predict",
    "export",
    "weights",
    "data make-shapes",
    "data check",
    "data convert",
    "data anchors",
    "data stats",
    "search run",
    "search schema",
    "search status",
    "search train",
    "search calibrate",
    "search repair",
    "search extend",
    "search serve",
    "search replay",
    "search table",
    "report",
    "demo",
]


def test_the_help_lists_every_verb_and_each_has_an_example(
    cli: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    overview = cli("--help").stdout
    for verb in VERBS:
        assert f" {verb.split()[0]} " in overview
        shown = cli(*verb.split(), "--help")
        assert shown.returncode == 0
        assert f"Example: catscale {verb}" in shown.stdout
