"""A protocol says everything that is chosen, and refuses what cannot be."""

from dataclasses import fields
from typing import Any

import pytest
from catscale.blocks.errors import InputError
from catscale.scaler.latency.protocol import Protocol


def test_a_protocol_survives_json() -> None:
    chosen = Protocol(device="cuda:1", dtype="fp16", batch=32, size=640, cold_cache=True, widest_interval=0.1)
    assert Protocol.from_json(chosen.to_json()) == chosen
    assert chosen.to_json().keys() == {"version", *(field.name for field in fields(Protocol))}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"batchsize": 1}, "plan.json: unknown key 'batchsize'; did you mean 'batch'?"),
        ({"dtype": "int4"}, "dtype 'int4'; known: bf16, fp16, fp32, tf32"),
        ({"part": "nsm"}, "part 'nsm'; did you mean 'nms'?"),
        ({"batch": 0}, "batch 0; it must be a whole number, at least 1"),
        ({"runs": True}, "runs True; it must be a whole number"),
        ({"size": 1.5}, "size 1.5; it must be a whole number"),
        ({"confidence": 1}, "confidence 1; it must lie between 0 and 1"),
        ({"widest_interval": 0}, "widest_interval 0; it must lie between 0 and inf"),
        ({"widest_interval": float("nan")}, "widest_interval nan"),
        ({"version": 99}, "version 99 of the latency protocol; this catscale has 1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        Protocol.from_json(document, "plan.json")
    assert message in str(refused.value)
