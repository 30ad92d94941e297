"""How much training changes its images: the settings, and nothing that needs pixels."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Where decoded images are kept. "auto": in memory where they fit, else nowhere; a disk is filled only when asked for.
Cache = Literal["auto", "ram", "disk", "none"]
Share = Annotated[float, Field(ge=0, le=1)]


class Augment(BaseModel):
    """How much an image is changed before it is learnt from; 0 throughout leaves it as it is.

    The names are those of YOLOv7's hyper-parameter files, `mosaic9` apart, which is a constant there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hsv_h: Annotated[float, Field(ge=0, le=0.4)] = 0.015  # hue times 1 ± this; up to where a byte holds it
    hsv_s: Share = 0.7  # saturation times 1 ± this
    hsv_v: Share = 0.4  # value times 1 ± this
    flipud: Share = 0.0  # probability
    fliplr: Share = 0.5  # probability
    translate: Annotated[float, Field(ge=0, le=0.9)] = 0.1  # the centre moves by up to this share of the side
    scale: Annotated[float, Field(ge=0, le=0.9)] = 0.5  # zoom from 1 - scale to 1.1 + scale; no zoom at 0
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0  # rotation by ± this
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0  # degrees, ± this along x and along y
    perspective: Annotated[float, Field(ge=0, le=0.001)] = 0.0  # nearer by ± this for each px from the centre
    mosaic: Share = 0.0  # probability of several images side by side
    mosaic9: Share = 0.2  # share of the mosaics that have nine images; the others have four
    mixup: Share = 0.0  # probability that a second mosaic is blended into a mosaic
    paste_in: Share = 0.0  # probability that objects of other images are pasted in, each with its box's pixels

    def single(self) -> "Augment":
        """The same without what joins several images: mosaic, mixup and paste-in."""
        return self.model_copy(update={"mosaic": 0.0, "mixup": 0.0, "paste_in": 0.0})
