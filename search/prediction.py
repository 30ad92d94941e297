"""Where a study's predicted latency comes from."""

from collections.abc import Callable
from dataclasses import dataclass

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from ..scaler.latency_table.table import LatencyTable
from .study import Study


@dataclass
class Prediction:
    """What predicts an architecture's latency in ms; it says once that one lies outside of what the table knows."""

    table: LatencyTable
    say: Callable[[str], None]
    told: bool = False

    def __call__(self, architecture: Architecture) -> float:
        found = self.table.predict(architecture)
        if found.outside and not self.told:
            self.told = True
            self.say(
                f"{architecture.name}: a latency of {found.ms:.2f} ms is predicted from outside of what the table was "
                f"calibrated on: {found.outside}; of further ones this is not said"
            )
        return found.ms


def predictor(study: Study, say: Callable[[str], None] = lambda line: None) -> Prediction | None:
    """What predicts latencies, by the study's table; None where candidates are measured.

    Raises:
        InputError: the table cannot be read, or was made for another batch than the study's.
    """
    if study.latency.predict is None:
        return None
    where = f"{study.name}: latency.predict"
    try:
        table = LatencyTable.load(study.latency.predict)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    table.check_choices({"batch": study.latency.batch}, f"{where}: {study.latency.predict}")
    say(f"latencies are predicted by {study.latency.predict}, not measured: {table.words()[0]}")
    return Prediction(table, say)
