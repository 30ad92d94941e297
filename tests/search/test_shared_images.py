"""The decoded images of a study's trials: each is decoded once on a machine, and is in its memory once."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from catscale.trainer.data.shapes import make_shapes

IMAGES, SIZE_PX = 16, 256

# As a trial's process does it, which lets go of an image when its batch is made; here all are held.
HOLD = f"""
import sys
from pathlib import Path
from catscale.trainer.data.memory import images_of, images_shared
from catscale.trainer.data.sources import open_dataset
with images_shared():
    images = images_of(open_dataset(sys.argv[1]).split("train"), {SIZE_PX}, cache="auto")
for index in range(len(images)):
    images.load(index)
held = [images.load(index) for index in range(len(images))]
print(sum(int(image.sum()) for image in held), flush=True)
sys.stdin.readline()
"""


def mapped_kb(process: "subprocess.Popen[str]", folder: Path) -> tuple[int, int]:
    """Of a folder's files in the memory of a process: all of it, and its share where others map the same."""
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{process.pid}/smaps").read_text(), flags=re.MULTILINE)
    ours = [part for part in parts if str(folder) in part.split("\n", 1)[0]]
    whole, share = (
        sum(int(kb) for part in ours for kb in re.findall(rf"^{name}: +(\d+) kB", part, re.MULTILINE))
        for name in ("Rss", "Pss")
    )
    return whole, share


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not tell what is mapped")
def test_two_trials_hold_each_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_shapes(tmp_path / "data", train=IMAGES, val=1, test=0, size_px=SIZE_PX)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with ExitStack() as stack:
        both: list[subprocess.Popen[str]] = []
        sums, decoded = [], []
        for _ in range(2):
            one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(one.communicate, "\n")
            assert one.stdout
            both.append(one)
            sums.append(int(one.stdout.readline()))
            decoded.append({path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")})
        (whole, share), (other_whole, other_share) = (mapped_kb(one, tmp_path / "cache") for one in both)
    assert sums[0] == sums[1]
    assert decoded[0] == decoded[1]
    assert len(decoded[0]) == IMAGES
    assert min(whole, other_whole) >= IMAGES * SIZE_PX**2 * 3 / 1024
    assert share + other_share <= 1.05 * whole
