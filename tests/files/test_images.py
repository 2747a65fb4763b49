"""Photographs of five formats, upright; everything else is refused, and no other program is started."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from recface.errors import RecfaceError
from recface.files.images import read_image

PIXELS = np.random.default_rng(0).integers(0, 255, (12, 8, 3), np.uint8)
FORMS = {
    "a.png": {},
    "a.bmp": {},
    "a.tif": {"compression": "tiff_lzw"},
    "a.webp": {"lossless": True},
}


@pytest.mark.parametrize("name", FORMS)
def test_formats_without_loss(tmp_path, name) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name, **FORMS[name])
    photo = read_image(tmp_path / name)
    assert photo.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(photo), PIXELS)


def test_jpeg(tmp_path) -> None:
    smooth = np.zeros((32, 48, 3), np.uint8) + np.arange(48, dtype=np.uint8)[None, :, None] * 4
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(np.asarray(read_image(tmp_path / "a.jpg"), int), smooth, atol=8)


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}
"""By EXIF's definition: where the stored picture's first row and column are in the upright one, as in OpenCV."""


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_photos_are_turned_upright(tmp_path, orientation, name) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = FORMS[name] | ({"tiffinfo": exif} if name == "a.tif" else {"exif": exif})
    Image.fromarray(PIXELS).save(tmp_path / name, **options)
    found = np.asarray(read_image(tmp_path / name))
    np.testing.assert_array_equal(found, TURNS[orientation](PIXELS))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_turns_nothing(tmp_path, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png")), PIXELS)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA"])
def test_other_modes_become_rgb(tmp_path, mode) -> None:
    name = "a.tif" if mode == "CMYK" else "a.png"
    Image.fromarray(PIXELS).convert(mode).save(tmp_path / name)
    photo = read_image(tmp_path / name)
    assert photo.mode == "RGB" and photo.size == (8, 12)


def refusal(path) -> str:
    with pytest.raises(RecfaceError) as caught:
        read_image(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and len(text.splitlines()) == 1
    return text


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def giant(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_more_pixels_than_the_limit_are_refused_with_it(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(giant(100_001, 1_000))
    text = refusal(tmp_path / "a.png")
    assert "more than 89,478,485 pixels" in text
    (tmp_path / "a.png").write_bytes(giant(2**31 - 1, 2**31 - 1))
    assert "more than 89,478,485 pixels" in refusal(tmp_path / "a.png")


OTHER = {
    "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n0 0 8 8 rectfill\nshowpage\n",
    "pdf.png": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "empty.png": b"",
    "svg.jpg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "page.jpg": b"<!doctype html><title>404</title>",
    "pixmap.png": b"P6\n2 2\n255\n" + bytes(12),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_formats_are_refused_and_no_program_is_started(tmp_path, monkeypatch, name) -> None:
    for function in ("subprocess.Popen", "os.system", "os.posix_spawn"):
        monkeypatch.setattr(function, lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / name).write_bytes(OTHER[name])
    assert "not a readable image" in (text := refusal(tmp_path / name)) and "JPEG, PNG, WEBP, BMP, TIFF" in text


@pytest.mark.parametrize("name", ["a.jpg", *FORMS])
def test_a_file_that_was_cut_is_refused(tmp_path, name) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name, **FORMS.get(name, {}))
    data = (tmp_path / name).read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / name).write_bytes(data[: int(share * len(data))])
        assert "not a readable image" in refusal(tmp_path / name)


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path) -> None:
    Image.fromarray(np.full((4, 4), 30_000, np.uint16)).save(tmp_path / "a.png")
    assert "more than 8 bits a channel" in refusal(tmp_path / "a.png")
