"""Writes the files and numbers that the tests of this folder's package compare with.

Run in this folder with Pillow and numpy: python3 vectors.py
"""

import base64
import hashlib
import io
import json
import struct
import zlib

import numpy
import PIL
from PIL import Image, features

FILTERS = {
    "nearest": Image.NEAREST,
    "box": Image.BOX,
    "bilinear": Image.BILINEAR,
    "hamming": Image.HAMMING,
    "bicubic": Image.BICUBIC,
    "lanczos": Image.LANCZOS,
}

# Width and height before and after: up, down, one axis only, odd, one pixel, long.
SIZES = [
    ((19, 13), (19, 13)),
    ((19, 13), (7, 5)),
    ((19, 13), (31, 29)),
    ((19, 13), (38, 26)),
    ((19, 13), (19, 4)),
    ((19, 13), (5, 13)),
    ((19, 13), (1, 1)),
    ((19, 13), (3, 30)),
    ((1, 1), (6, 5)),
    ((2, 1), (5, 3)),
    ((1, 50), (4, 7)),
    ((50, 1), (7, 4)),
]

# As above, compared by hash alone.
LARGE = [((500, 375), (224, 224)), ((375, 500), (299, 398)), ((32, 32), (224, 224)), ((1000, 3), (333, 336))]


def pattern(width, height):
    """The picture that picture_test.go draws with the same formula."""
    y, x, c = numpy.mgrid[0:height, 0:width, 0:3]
    return Image.fromarray(((x * x * 7 + y * 13 + c * 91 + x * y * (c + 3)) % 256).astype(numpy.uint8), "RGB")


def encoded(image):
    return base64.b64encode(image.tobytes()).decode()


def resized():
    vectors = []
    for name, resample in FILTERS.items():
        for (w, h), (width, height) in SIZES + LARGE:
            out = pattern(w, h).resize((width, height), resample)
            vector = {"filter": name, "from": [w, h], "to": [width, height]}
            if ((w, h), (width, height)) in LARGE:
                vector["sha256"] = hashlib.sha256(out.tobytes()).hexdigest()
            else:
                vector["rgb"] = encoded(out)
            vectors.append(vector)
    return vectors


def smooth(width, height):
    """A picture that lossy formats like: slow waves of different colours."""
    y, x = numpy.mgrid[0:height, 0:width]
    r = 128 + 100 * numpy.sin(x / 3) * numpy.cos(y / 5)
    g = 128 + 90 * numpy.cos(x / 4 + y / 6)
    b = 128 + 110 * numpy.sin((x + 2 * y) / 7)
    return Image.fromarray(numpy.stack([r, g, b], 2).clip(0, 255).astype(numpy.uint8), "RGB")


def raw_png(width, height, depth, colour, rows, *chunks):
    """A PNG of a kind that Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"".join(b"\0" + row for row in rows)
    middle = b"".join(chunk(kind, data) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + middle + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_files():
    draw = numpy.random.default_rng(1)
    alpha = Image.fromarray(draw.integers(0, 256, (9, 11), numpy.uint8), "L")
    rgb = pattern(11, 9)
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey = rgb.convert("L")
    palette = rgb.quantize(13)
    yield "rgb.png", saved(rgb, "PNG")
    yield "rgba.png", saved(rgba, "PNG")
    yield "grey.png", saved(grey, "PNG")
    yield "grey-alpha.png", saved(Image.merge("LA", [grey, alpha]), "PNG")
    yield "bits.png", saved(rgb.convert("1"), "PNG")
    yield "palette.png", saved(palette, "PNG")
    yield "palette-transparent.png", saved(palette, "PNG", transparency=3)
    yield "palette-alphas.png", saved(palette, "PNG", transparency=bytes([0, 128, 255, 7]))
    yield "rgb-transparent.png", saved(rgb, "PNG", transparency=rgb.getpixel((2, 2)))
    rows = [draw.bytes(6 * 5) for _ in range(4)]
    yield "rgb-16.png", raw_png(5, 4, 16, 2, rows)
    rows = [draw.bytes(8 * 5) for _ in range(4)]
    yield "rgba-16.png", raw_png(5, 4, 16, 6, rows)
    rows = [draw.bytes(4 * 5) for _ in range(4)]
    yield "grey-alpha-16.png", raw_png(5, 4, 16, 4, rows)
    rows = [draw.bytes(3) for _ in range(4)]
    yield "grey-4.png", raw_png(5, 4, 4, 0, rows)
    yield "grey-2.png", raw_png(5, 4, 2, 0, [row[:2] for row in rows])


def gif_files():
    # The corner of a frame that is moved on its screen is changed by hand, as is the screen's size.
    rgb = pattern(11, 9)
    yield "plain.gif", saved(rgb, "GIF")
    transparent = saved(rgb.quantize(16), "GIF", transparency=5)
    yield "transparent.gif", transparent
    for name, data in ("moved.gif", saved(rgb, "GIF")), ("moved-transparent.gif", transparent):
        data = bytearray(data)
        data[6:10] = struct.pack("<HH", 17, 14)
        at = data.rindex(struct.pack("<BHHHH", 0x2C, 0, 0, 11, 9))
        data[at + 1 : at + 5] = struct.pack("<HH", 4, 3)
        yield name, bytes(data)
    yield "animated.gif", saved(rgb, "GIF", save_all=True, append_images=[pattern(11, 9).rotate(180)])


def lossy_files():
    # The widths are odd and even, and one has so little chroma that libjpeg does not filter it.
    for name, sampling in ("444", 0), ("422", 1), ("420", 2):
        yield f"{name}.jpg", saved(smooth(37, 22), "JPEG", quality=85, subsampling=sampling)
        yield f"{name}-even.jpg", saved(smooth(32, 17), "JPEG", quality=95, subsampling=sampling)
    yield "narrow.jpg", saved(smooth(4, 9), "JPEG", quality=90, subsampling=2)
    yield "progressive.jpg", saved(smooth(37, 22), "JPEG", quality=85, progressive=True)
    yield "grey.jpg", saved(smooth(37, 22).convert("L"), "JPEG", quality=85)
    yield "cmyk.jpg", saved(smooth(37, 22).convert("CMYK"), "JPEG", quality=95)
    yield "lossy.webp", saved(smooth(37, 22), "WEBP", quality=80)
    yield "lossy-even.webp", saved(smooth(32, 17), "WEBP", quality=40)
    alpha = smooth(32, 17)
    alpha.putalpha(smooth(32, 17).convert("L"))
    yield "alpha.webp", saved(alpha, "WEBP", quality=80)
    yield "lossless.webp", saved(pattern(21, 10), "WEBP", lossless=True)
    yield "lossless-alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True)


def decoded():
    vectors = []
    for source in (png_files(), gif_files(), lossy_files()):
        for name, data in source:
            with open("files/" + name, "wb") as out:
                out.write(data)
            rgb = Image.open(io.BytesIO(data)).convert("RGB")
            vectors.append({"file": name, "size": list(rgb.size), "rgb": encoded(rgb)})
    return vectors


def grey():
    rgb = pattern(50, 40)
    return encoded(rgb.convert("L"))


if __name__ == "__main__":
    versions = {"pillow": PIL.__version__} | {name: features.version(name) for name in ("libjpeg_turbo", "webp")}
    document = {"versions": versions, "grey": grey(), "decoded": decoded(), "resized": resized()}
    with open("vectors.json", "w") as out:
        json.dump(document, out, indent=1)
        out.write("\n")
