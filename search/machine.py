"""On what a study was run, when, and by which command: `hardware.json`. Versions and drivers are in its lock."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..scaler.documents import write_text


def machine(device: str) -> dict[str, Any]:
    """Device, machine and command, as plain data."""
    import torch

    from ..scaler.devices import device_name
    from ..trainer.threads import compute_threads

    return {
        "device": device_name(torch.device(device)),
        "cores": os.cpu_count(),
        "threads": compute_threads() if device == "cpu" else torch.get_num_threads(),
        "platform": platform.platform(),
        "command": " ".join(["catscale", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_machine(path: Path, device: str) -> None:
    """Write `hardware.json`; of a study that goes on, the first one stays and the list of sessions grows."""
    sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"] if path.is_file() else []
    write_text(path, json.dumps({"sessions": [*sessions, machine(device)]}, indent=2) + "\n")
