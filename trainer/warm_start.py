"""What a training begins with in place of random weights: an earlier run's. Torch only to put them there."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.growth_plan import GrowthError, plan_growth
from .run_folder import How, RunFolder, StartFacts, load_run

if TYPE_CHECKING:
    from torch.fx import GraphModule


class Carried(NamedTuple):
    """What a model has of the run that it begins with."""

    parameters: int  # of the model, all elements
    carried: int  # of these, elements that came over
    words: str


@dataclass(frozen=True)
class WarmStart:
    """The best weights of a run, to begin with.

    `overlap` takes them by the names of layers, as far as shapes overlap (`scaler/transfer.py`); `grow` lays them out
    so that the larger detector computes what the run's does (`scaler/growth.py`).
    """

    run: Path
    how: How = "overlap"

    def check(self, arch: Architecture, classes: tuple[str, ...]) -> StartFacts:
        """Hold a run against what is to begin with it, and say what `run.json` says of it.

        Args:
            arch: that is to be trained.
            classes: names of the data's.

        Raises:
            InputError: it is no run, has no weights yet, or cannot grow into the architecture.
        """
        self.check_classes(classes)
        run = RunFolder(self.run)
        weights = run.trained_weights("best")
        if self.how == "grow":
            try:
                plan_growth(arch, run.read_architecture())
            except GrowthError as error:
                raise InputError(f"{self.run}: {error}") from error
        fingerprint = run.read_facts().fingerprint
        return StartFacts(str(self.run), self.how, fingerprint, sha256(weights.read_bytes()).hexdigest())

    def check_classes(self, classes: tuple[str, ...]) -> None:
        """Raise an InputError where what is to grow detects other classes; it keeps every output."""
        theirs = RunFolder(self.run).read_facts().classes
        if self.how == "grow" and theirs != classes:
            raise InputError(
                f"{self.run}: detects {', '.join(theirs)}, the data has {', '.join(classes)}: what is grown keeps "
                "every output, so classes and their order must be the same; an overlap takes what fits"
            )

    def other_classes(self, classes: tuple[str, ...]) -> str:
        """What becomes of the class scores where the run's classes are others; empty where they are the same."""
        theirs = RunFolder(self.run).read_facts().classes
        if theirs == classes:
            return ""
        scores = "came over by their order" if len(theirs) == len(classes) else "begin with random weights"
        return f"; it detects other classes ({', '.join(theirs)}), so class scores {scores}"

    def with_anchors(self, arch: Architecture) -> Architecture:
        """An architecture with the anchors that it is to have: of what grows, the run's on the levels that it has."""
        if self.how == "overlap":
            return arch
        return with_anchors_of(self._architecture(), arch)

    def _architecture(self) -> Architecture:
        run = RunFolder(self.run)
        run.read_facts()  # says best what is no run
        return run.read_architecture()

    def put(self, model: "GraphModule") -> Carried:
        """Put the weights, and the statistics of batch norms, into a fresh train model, in place.

        Raises:
            InputError: as `check` would.
        """
        from ..scaler.growth import grow
        from ..scaler.transfer import transfer

        source = load_run(self.run).model
        if self.how == "grow":
            grown = grow(model, source)
            return Carried(grown.parameters, grown.inherited, str(grown))
        moved = transfer(model, source)
        return Carried(moved.parameters, moved.transferred, str(moved))


def with_anchors_of(base: Architecture, arch: Architecture) -> Architecture:
    """An architecture with another's anchors on the levels that both have."""
    if not (base.head.anchored and arch.head.anchored):
        return arch
    theirs = dict(zip(base.strides, base.anchors, strict=True))
    anchors = tuple(theirs.get(stride, own) for stride, own in zip(arch.strides, arch.anchors, strict=True))
    return arch.replace(anchors=anchors)
