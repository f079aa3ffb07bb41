"""A folder of files that would break a careless program, and what must become of each of them.

Damaged, truncated and lying files, every kind of picture, odd names, and things that are no files.
"""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from conftest import scene
from reddiff_cli.formats.pngchunks import chunk
from reddiff_cli.pictures.files import Picture, save_picture

SIDE = (20, 28)


def build(folder: Path) -> dict[str, str]:
    """Write the folder; relative path (decoded by the file system's rules) -> good, bad or any.

    good: must be restored.    bad: must fail, alone.    any: either, as a decoder sees fit.
    """
    folder.mkdir(parents=True)
    expected: dict[str, str] = {}
    for part in (_kinds, _sizes, _names, _damaged, _bombs, _odd_metadata, _frames, _no_files):
        expected |= part(folder)
    return expected


def _save(image: Image.Image, path: Path, **options) -> str:
    image.save(path, **options)
    return path.name


def _kinds(folder: Path) -> dict[str, str]:
    """Every mode and depth that a picture program may write."""
    colour = Image.fromarray(scene(*SIDE))
    alpha = Image.fromarray(np.dstack([scene(*SIDE), scene(*SIDE, channels=1, seed=3)]))
    names = []
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "PA"):
        image = alpha.convert(mode) if mode in ("LA", "RGBA") else colour.convert(mode)
        names.append(
            _save(
                image,
                folder / f"mode-{mode}.tif" if mode == "PA" else folder / f"mode-{mode}.png",
                **({"format": "TIFF"} if mode == "PA" else {}),
            )
        )
    for mode in ("L", "RGB", "CMYK", "YCbCr"):
        names.append(_save(colour.convert(mode), folder / f"mode-{mode}.jpg"))
        names.append(_save(colour.convert(mode), folder / f"mode-{mode}.tiff"))
    lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    names.append(_save(ImageCms.applyTransform(colour, lab), folder / "mode-LAB.tif"))
    names.append(_save(colour.quantize(4), folder / "palette-transparent.png", transparency=0))
    names.append(_save(colour.quantize(2), folder / "palette-1-bit.png", bits=1))
    names.append(_save(colour, folder / "grey-transparent.png", transparency=(1, 2, 3)))
    names.append(_save(colour, folder / "progressive.jpg", progressive=True))
    names.append(_save(colour, folder / "subsampled.jpeg", subsampling=2, quality=3))
    for suffix in ("webp", "bmp", "tif", "avif", "jp2"):
        names.append(_save(colour, folder / f"plain.{suffix}"))
    names.append(_save(colour, folder / "lossless.webp", lossless=True))
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        names.append(_save(colour, folder / f"{compression}.tif", compression=compression))
    (folder / "interlaced.png").write_bytes(interlaced(scene(*SIDE)))
    light = scene(*SIDE) / np.float32(255)
    veil = scene(*SIDE, channels=1, seed=5) / np.float32(255)
    for name, picture in {
        "sixteen.png": Picture(light, depth=16),
        "sixteen-grey.png": Picture(light[:, :, :1], depth=16),
        "sixteen-alpha.png": Picture(light, veil, depth=16),
        "sixteen.tif": Picture(light, depth=16),
        "float.tif": Picture(light, depth=32),
        "float.exr": Picture(light * 3, depth=32),
        "float-alpha.exr": Picture(light, veil, depth=32),
        "float.hdr": Picture(light, depth=32),
    }.items():
        save_picture(picture, folder / name, None)
        names.append(name)
    return dict.fromkeys([*names, "interlaced.png"], "good")


def _sizes(folder: Path) -> dict[str, str]:
    shapes = [(1, 1), (1, 2), (2, 2), (1, 300), (300, 1), (3, 3), (7, 5), (63, 65)]
    names = [_save(Image.fromarray(scene(*s)), folder / f"size-{s[0]}x{s[1]}.png") for s in shapes]
    for name, value in (("black", 0), ("white", 255), ("one-colour", 77)):
        flat = np.full((*SIDE, 3), value, dtype=np.uint8)
        names.append(_save(Image.fromarray(flat), folder / f"{name}.png"))
    return dict.fromkeys(names, "good")


def _names(folder: Path) -> dict[str, str]:
    """Names that shells, terminals, JSON and C strings stumble over."""
    plain = [
        *["two words.png", " leading blank.png", "new\nline.png", "tab\there.png", "-o.png"],
        *["--help.png", "-", "it's.png", 'dou"ble.png', "back\\slash.png", "$(date).png"],
        *[
            "; ls.png",
            "*.png",
            "?.png",
            "[a].png",
            "{stem}.png",
            "%s%n.png",
            "é.png",
            "e\u0301.png",
        ],
        *["\U0001f600.png", "\u202egnp.png", "\x1b[31mred.png", "\x07bell.png", "#x.png", "~.png"],
        *["UPPER.PNG", "dots.in.name.png", ".hidden.png", "CON.png", "[bold]b.png"],
        *["a.jpg.png", "<b>.png", "&amp;.png", "\u2028.png", "n" * 200 + ".png"],
    ]
    raw = [b"latin-\xe9.png", b"\xff\xfe.png", b"broken-\xf0\x9f.png"]
    buffer = BytesIO()
    Image.fromarray(scene(12, 16)).save(buffer, "PNG")
    names = [os.fsencode(name) for name in plain if name != "-"] + raw
    names.append(b"m" * 251 + b".png")
    for name in names:
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(buffer.getvalue())
    (folder / "deep" / "er" / "a b").mkdir(parents=True)
    (folder / "deep" / "er" / "a b" / "a.png").write_bytes(buffer.getvalue())
    (folder / "deep" / "a.png").write_bytes(buffer.getvalue())
    Image.fromarray(scene(12, 16)).save(folder / "deep" / "a.jpg")
    inner = ["deep/er/a b/a.png", "deep/a.png", "deep/a.jpg"]
    return dict.fromkeys([*(os.fsdecode(name) for name in names), *inner], "good")


def _damaged(folder: Path) -> dict[str, str]:
    """Truncated at several places, bits flipped at random, the wrong suffix, nothing at all."""
    expected = {}
    rng = np.random.default_rng(0)
    for suffix in ("png", "jpg", "tif", "webp", "exr", "bmp", "hdr", "jp2", "avif"):
        whole = _encoded(suffix)
        for share in (0.05, 0.5, 0.95):
            cut = folder / f"cut-{share:g}.{suffix}"
            cut.write_bytes(whole[: int(share * len(whole))])
            expected[cut.name] = "any" if suffix in ("exr", "hdr", "bmp", "webp") else "bad"
        for trial in range(5):
            bits = np.unpackbits(np.frombuffer(whole, np.uint8))
            bits[rng.integers(0, len(bits), 1 + 4**trial)] ^= 1
            flipped = folder / f"flipped-{trial}.{suffix}"
            flipped.write_bytes(np.packbits(bits).tobytes())
            expected[flipped.name] = "any"
        empty, text = folder / f"empty.{suffix}", folder / f"text.{suffix}"
        empty.write_bytes(b"")
        text.write_text("not a picture\n" * 20)
        expected |= {empty.name: "bad", text.name: "bad"}
    for name, suffix in (("png.jpg", "png"), ("jpg.png", "jpg"), ("tif.png", "tif")):
        (folder / f"really-a-{name}").write_bytes(_encoded(suffix))
        expected[f"really-a-{name}"] = "good"
    (folder / "really-a-png.exr").write_bytes(_encoded("png"))
    (folder / "really-a-exr.png").write_bytes(_encoded("exr"))
    return expected | {"really-a-png.exr": "any", "really-a-exr.png": "bad"}


def _encoded(suffix: str) -> bytes:
    if suffix in ("exr", "hdr"):
        from reddiff_cli.formats.deep import encode_float

        light = scene(*SIDE) / np.float32(255)
        return encode_float(light, None, f".{suffix}", b"")
    kind = {
        "png": "PNG",
        "jpg": "JPEG",
        "tif": "TIFF",
        "webp": "WEBP",
        "bmp": "BMP",
        "jp2": "JPEG2000",
        "avif": "AVIF",
    }[suffix]
    buffer = BytesIO()
    Image.fromarray(scene(*SIDE)).save(buffer, kind)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, kind: int, data: bytes, interlace: int = 0) -> bytes:
    """A PNG file of any claimed size."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def interlaced(pixels: np.ndarray) -> bytes:
    """Adam7, which Pillow reads but does not write."""
    height, width = pixels.shape[:2]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    rows = b""
    for left, top, across, down in [*passes, (0, 1, 1, 2)]:
        part = pixels[top::down, left::across]
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    return png(width, height, 8, 2, rows, 1)


def _bombs(folder: Path) -> dict[str, str]:
    """Headers that claim more than any memory holds, over a few bytes."""
    files = {
        "bomb-8.png": png(60000, 60000, 8, 2, b"\0" * 1000),
        "bomb-16.png": png(60000, 60000, 16, 2, b"\0" * 1000),
        "bomb-most.png": png(2**31 - 1, 2**31 - 1, 8, 6, b"\0"),
        "bomb-zero.png": png(0, 0, 8, 2, b""),
        "bomb-depth.png": png(10, 10, 7, 2, b"\0" * 400),
        "bomb-8.bmp": b"BM"
        + struct.pack(
            "<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0
        )
        + b"\0" * 100,
        "bomb.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n" + b"\0" * 64,
    }
    for bits in (8, 16, 32):
        tags = [
            (256, 60000),
            (257, 60000),
            (258, bits),
            (259, 1),
            (262, 1),
            (273, 8),
            (277, 1),
            (278, 60000),
            (279, 64),
            (339, 3 if bits == 32 else 1),
        ]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        files[f"bomb-{bits}.tif"] = (
            b"II*\0"
            + struct.pack("<I", 72)
            + b"\0" * 64
            + struct.pack("<H", len(tags))
            + entries
            + b"\0" * 4
        )
    exr = bytearray(_encoded("exr"))
    for name in (b"dataWindow", b"displayWindow"):
        at = exr.index(name) + len(name) + 1 + len(b"box2i\0") + 4
        exr[at : at + 16] = struct.pack("<iiii", 0, 0, 59999, 59999)
    files["bomb.exr"] = bytes(exr)
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "a" * 80_000_000, zip=True)
    buffer = BytesIO()
    Image.fromarray(scene(8, 8)).save(buffer, "PNG", pnginfo=text)
    files["bomb-text.png"] = buffer.getvalue()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return dict.fromkeys(files, "bad") | {"bomb-text.png": "any"}


def _odd_metadata(folder: Path) -> dict[str, str]:
    """Good pixels under metadata that makes no sense: the picture must not be lost for it."""
    image = Image.fromarray(scene(*SIDE))
    names = []
    for number, block in enumerate(
        (
            b"",
            b"Exif\0\0",
            b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"\0" * 50,
            b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 30,
        )
    ):
        names.append(_save(image, folder / f"exif-{number}.jpg", exif=block))
        names.append(_save(image, folder / f"exif-{number}.png", exif=block))
    names.append(_save(image, folder / "icc.png", icc_profile=b"no profile"))
    names.append(_save(image, folder / "icc.jpg", icc_profile=b"\0" * 70000))
    names.append(_save(image, folder / "dpi.tif", dpi=(0, 0)))
    huge = bytearray(_encoded("png"))
    huge[33:33] = chunk(b"pHYs", struct.pack(">IIB", 2**32 - 1, 0, 1))
    (folder / "dpi.png").write_bytes(huge)
    names.append("dpi.png")
    exif = Image.Exif()
    exif[274] = 99
    names.append(_save(image, folder / "orientation-99.jpg", exif=exif))
    return dict.fromkeys(names, "good")


def _frames(folder: Path) -> dict[str, str]:
    frames = [Image.fromarray(scene(*SIDE, seed=k)) for k in range(3)]
    rest = {"save_all": True, "append_images": frames[1:]}
    for name, kind in (
        ("gif.png", "GIF"),
        ("apng.png", "PNG"),
        ("a.webp", "WEBP"),
        ("pages.tif", "TIFF"),
        ("a.avif", "AVIF"),
    ):
        frames[0].save(folder / f"frames-{name}", kind, **rest)
    names = [f"frames-{n}" for n in ("gif.png", "apng.png", "a.webp", "pages.tif", "a.avif")]
    return dict.fromkeys(names, "bad")


def _no_files(folder: Path) -> dict[str, str]:
    """Pipes, links, folders, what nobody may read, and files that are no pictures."""
    (folder / "folder.png").mkdir()
    (folder / "empty folder").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "link.png").symlink_to("mode-RGB.png")
    os.mkfifo(folder / "pipe.png")
    for name in ("a.json", "a.txt", "noext", "a.png.json", ".reddiff-abc123", "a.svg", "a.gif"):
        (folder / name).write_text('{"no": "picture"}')
    expected = {"loop.png": "bad", "broken.png": "bad", "pipe.png": "bad", "link.png": "good"}
    if os.geteuid() != 0:
        closed = folder / "closed.png"
        closed.write_bytes(_encoded("png"))
        closed.chmod(0)
        expected[closed.name] = "bad"
    return expected
