"""The whole way, once: zoo, scaling, a study, its report, the chosen detector trained further, its predictions."""

import shlex
import time
from pathlib import Path

from ..scaler.terminal import out
from ..trainer.run_folder import next_folder

QUICKSTART = Path(__file__).parents[1] / "studies" / "quickstart.yaml"
SHOWN = 6  # images that predictions are drawn on
EPOCHS = 36  # of the chosen detector's own training


def run_demo(data: str = "shapes", folder: Path | None = None, device: str = "auto") -> Path:
    """Run the demo by the same commands that a user has, saying each; gives the folder with all that it made.

    Raises:
        InputError: the data or the device is not there.
    """
    from ..scaler import commands as scaler
    from ..search import commands as search
    from ..search.status import read_study
    from ..search.train_command import train_selected
    from ..trainer import predict_command
    from ..trainer.data.sources import open_dataset
    from . import commands as reports

    start = time.perf_counter()
    place = folder or next_folder(Path("runs"), "demo")
    images = [str(image.path) for image in open_dataset(data).split("val").images[:SHOWN]]
    study = place / "study"

    _say(1, "every known detector, ours beside the published figures", "zoo")
    reports.zoo()

    derived = place / "e6.yaml"
    _say(2, "yolov7-e6 from yolov7-w6 by one number", "scale", "yolov7-w6", "--compound", "1.5", "--down", "downc")
    scaler.scale("yolov7-w6", compound=["1.5"], down="downc", output=derived)

    _say(3, "a study: scaled variants trained, evaluated and compared", "search", "run", str(QUICKSTART))
    search.run(QUICKSTART, data=data, folder=study, device=device)

    report = place / "report"
    _say(4, "its report, with the Pareto front", "report", str(study), "-o", str(report))
    reports.report([study], output=report)

    _say(5, "the knee of the front trained further", "search", "train", str(study), "--select", "knee")
    chosen = place / "chosen"
    train_selected(study, how="knee", epochs=EPOCHS, folder=chosen, device=device)

    pictures = place / "predictions"
    _say(6, "what it finds in images that it was not trained on", "predict", str(chosen), "…", "-o", str(pictures))
    predict_command.predict(chosen, images, out=pictures, device=device)

    front = read_study(study).front
    out.print(f"\nA front of {len(front)} detectors in {time.perf_counter() - start:.0f} s. Look at:", highlight=False)
    for made in (report / "index.html", pictures, derived):
        out.print(f"  {made}", markup=False, highlight=False)
    return place


def _say(step: int, what: str, *command: str) -> None:
    out.print(f"\n[bold]{step}. {what}[/bold]", highlight=False)
    out.print(f"$ catscale {shlex.join(command)}\n", markup=False, highlight=False, style="dim")
