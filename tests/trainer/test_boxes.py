"""Box geometry against torchvision and closed forms."""

import math

import pytest
import torch
from catscale.scaler.suppression import xyxy_from_cxcywh
from catscale.trainer.boxes import complete_iou, decode
from torchvision.ops import complete_box_iou


def test_complete_iou_is_torchvisions() -> None:
    random = torch.Generator().manual_seed(0)
    boxes, others = (torch.rand((500, 4), generator=random) * 4 + torch.tensor([0, 0, 0.1, 0.1]) for _ in range(2))
    expected = complete_box_iou(xyxy_from_cxcywh(boxes), xyxy_from_cxcywh(others)).diagonal()
    torch.testing.assert_close(complete_iou(boxes, others), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        ((3, 3, 2, 4), (3, 3, 2, 4), 1.0),  # the same
        ((1, 1, 2, 2), (3, 1, 2, 2), -4 / 20),  # side by side: no overlap, distance 2 in a box of 4 x 2
        ((2, 2, 2, 2), (2, 2, 4, 4), 1 / 4),  # one in the middle of the other, of one shape
    ],
)
def test_complete_iou_in_closed_form(box: tuple[float, ...], other: tuple[float, ...], expected: float) -> None:
    value = complete_iou(torch.tensor([box]).float(), torch.tensor([other]).float())
    assert value.item() == pytest.approx(expected, abs=1e-5)


def test_the_aspect_term_counts_but_its_weight_passes_no_gradient() -> None:
    box = torch.tensor([[2.0, 2.0, 2.0, 4.0]], requires_grad=True)
    other = torch.tensor([[2.0, 2.0, 4.0, 2.0]])
    iou, angle = 4 / 12, math.atan(2) - math.atan(0.5)
    aspect = 4 / math.pi**2 * angle**2
    weight = aspect / (aspect - iou + 1)
    value = complete_iou(box, other)
    assert value.item() == pytest.approx(iou - weight * aspect, abs=1e-5)
    value.sum().backward()
    # d aspect / d height = 8 / pi^2 * angle * w / (w^2 + h^2); d IoU / d height = -4 * 2 / 12^2
    # (the overlap stays 2 x 2 while the union grows by the width).
    expected = -8 / 144 - weight * 8 / math.pi**2 * angle * 2 / 20
    assert box.grad is not None
    assert box.grad[0, 3].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (5, 5, 0, 3), (1e4, 1e4, 1e4, 1e-3)])
def test_gradients_of_degenerate_boxes_are_finite(box: tuple[float, ...]) -> None:
    boxes = torch.tensor([box], dtype=torch.float32, requires_grad=True)
    complete_iou(boxes, torch.tensor([[0.0, 0.0, 0.0, 0.0]])).sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.isfinite().all()


@pytest.mark.parametrize(("logit", "centre", "size"), [(-50, -0.5, 0.0), (0, 0.5, 1.0), (50, 1.5, 4.0)])
def test_decoding_reaches_as_far_as_documented(logit: float, centre: float, size: float) -> None:
    boxes = decode(torch.full((1, 7), float(logit)), torch.tensor([[3.0, 5.0]]))
    torch.testing.assert_close(boxes, torch.tensor([[centre, centre, 3 * size, 5 * size]]))
