"""Any image file becomes upright 8-bit RGB, or one message; a letterbox can be undone exactly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from catscale.blocks.errors import InputError
from catscale.trainer.data.images import Letterboxed, image_size, letterbox, read_image, unletterbox
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

GREEN = (10, 200, 30)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("RGB", (4, 3), GREEN), GREEN),
        (Image.new("RGBA", (4, 3), (*GREEN, 0)), GREEN),
        (Image.new("L", (4, 3), 77), (77, 77, 77)),
        (Image.new("1", (4, 3), 1), (255, 255, 255)),
        (Image.new("RGB", (4, 3), GREEN).quantize(2), GREEN),
        (Image.fromarray(np.full((3, 4), 0x4D12, dtype=np.uint16)), (0x4D, 0x4D, 0x4D)),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_every_kind_of_pixel_becomes_8_bit_rgb(tmp_path: Path, image: Image.Image, pixel: tuple[int, int, int]) -> None:
    image.save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert (read.shape, read.dtype) == ((3, 4, 3), np.uint8)
    np.testing.assert_array_equal(read, np.broadcast_to(pixel, (3, 4, 3)))


def test_a_transparent_palette_and_cmyk_are_read(tmp_path: Path) -> None:
    palette = Image.new("RGB", (4, 3), GREEN).quantize(2)
    palette.save(tmp_path / "a.png", transparency=b"\x00\x80")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, 0], GREEN)
    Image.new("CMYK", (4, 3), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg")[0, 0], (255, 255, 255))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_and_pixels_are_those_of_the_upright_image(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((2, 3, 3), dtype=np.uint8)
    upright[0, 0], upright[0, 2], upright[1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {  # EXIF 2.32, table 6: where row 0 and column 0 of the stored image lie in the upright one
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert image_size(tmp_path / "a.png") == (3, 2)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), upright)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (truncate, r"a\.jpg: the image cannot be decoded \(.*truncated.*\); replace it, or remove it with its labels"),
        (lambda path: path.write_bytes(b""), r"a\.jpg: the image file is empty; replace it"),
        (lambda path: path.write_bytes(b"no image at all"), r"a\.jpg: the image cannot be decoded \(cannot identify"),
        (lambda path: path.unlink(), r"a\.jpg: there is no such image"),
        (lambda path: Image.new("F", (4, 3)).save(path, format="TIFF"), r"a\.jpg: has floating-point pixels"),
    ],
)
def test_a_broken_image_has_a_message(tmp_path: Path, break_it: Callable[[Path], object], message: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    break_it(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("width", "height", "size_px", "resized", "pad_x", "pad_y"),
    [  # by hand from round(side * scale) and round(half - 0.1)
        (640, 480, 320, (320, 240), 0, 40),
        (480, 640, 320, (240, 320), 40, 0),
        (100, 50, 640, (640, 320), 0, 160),  # enlarged
        (500, 375, 640, (640, 480), 0, 80),
        (640, 427, 640, (640, 427), 0, 106),  # 213 rows of padding: 106 above, 107 below
        (333, 500, 416, (277, 416), 69, 0),  # 139 columns: 69 to the left, 70 to the right
        (1000, 1, 320, (320, 1), 0, 159),  # a side never vanishes
        (320, 320, 320, (320, 320), 0, 0),
    ],
)
def test_a_letterbox_is_the_documented_one(
    width: int, height: int, size_px: int, resized: tuple[int, int], pad_x: int, pad_y: int
) -> None:
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    square, lay = letterbox(image, size_px)
    assert square.shape == (size_px, size_px, 3)
    assert (lay.resized, lay.pad_x, lay.pad_y) == (resized, pad_x, pad_y)
    expected = np.full((size_px, size_px, 3), 114, dtype=np.uint8)
    expected[pad_y : pad_y + resized[1], pad_x : pad_x + resized[0]] = 255
    np.testing.assert_array_equal(square, expected)


@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
    size_px=st.integers(32, 1536),
    shares=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5),
)
def test_boxes_come_back_from_the_square_exactly(
    width: int, height: int, size_px: int, shares: list[tuple[float, float, float, float]]
) -> None:
    corners = np.sort(np.array(shares, dtype=np.float64).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    boxes = corners * (width, height, width, height)
    lay = Letterboxed.of(width, height, size_px)
    placed = lay.place(boxes)
    assert ((placed >= 0) & (placed <= size_px * (1 + 1e-12))).all()
    np.testing.assert_allclose(unletterbox(placed, lay), boxes, atol=1e-9 * max(width, height))
    whole = lay.place(np.array([[0, 0, width, height]], dtype=np.float64))[0]
    np.testing.assert_allclose(whole[2:] - whole[:2], lay.resized)
    assert max(lay.resized) == size_px


def test_boxes_in_the_padding_are_clipped_to_the_image() -> None:
    lay = Letterboxed.of(640, 480, 320)
    np.testing.assert_allclose(unletterbox(np.array([[-5.0, 10, 330, 300]]), lay), [[0, 0, 640, 480]])


@pytest.mark.parametrize(("width", "height"), [(90, 61), (31, 200)])
def test_a_box_lies_on_its_pixels_after_the_letterbox(width: int, height: int) -> None:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    x1, y1, x2, y2 = 11, 23, 29, 50
    image[y1:y2, x1:x2] = 255
    square, lay = letterbox(image, 640)
    seen = square[:, :, 0] > 127
    seen &= square[:, :, 0] != 114
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(lay.place(np.array([[x1, y1, x2, y2]]))[0], edges, atol=0.51)
