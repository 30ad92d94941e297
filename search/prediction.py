"""Where a study's predicted latency comes from."""

from ..blocks.errors import InputError
from .candidates import Predict
from .study import Study


def predictor(study: Study) -> Predict | None:
    """What predicts an architecture's latency in ms, by the study's table; None where candidates are measured.

    Raises:
        InputError: the study names a table, and there is nothing that reads it.
    """
    if study.latency.predict is None:
        return None
    raise InputError(f"{study.name}: latency.predict: no table can be read yet; leave it out, to measure")
