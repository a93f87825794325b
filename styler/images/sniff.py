"""What a file is, told by its first bytes; its name does not count."""

from __future__ import annotations

HEAD_LENGTH = 512
FORMATS = ("PNG", "JPEG", "TIFF", "WebP", "GIF", "BMP", "AVIF")

_PICTURES = (
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("JPEG", b"\xff\xd8\xff"),
    ("GIF", b"GIF87a"),
    ("GIF", b"GIF89a"),
    ("BMP", b"BM"),
)
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STRANGERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIRS", "a camera raw file"),
    (b"IIU\0", "a camera raw file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"RIFF", "a RIFF file (sound or video)"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"version https://git-lfs", "a Git LFS pointer, its content not fetched"),
)
_ISO_BRANDS = {
    b"heic": "a HEIC picture",
    b"heix": "a HEIC picture",
    b"hevc": "a HEIC picture",
    b"heim": "a HEIC picture",
    b"mif1": "a HEIF picture",
    b"msf1": "a HEIF picture",
    b"crx ": "a camera raw file",
}


def picture_format(head: bytes) -> str | None:
    """The name of a readable picture format, one of `FORMATS`; None for anything else."""
    if head[4:8] == b"ftyp":
        return "AVIF" if _is_avif(head) else None
    if head[:4] == b"RIFF":
        return "WebP" if head[8:12] == b"WEBP" else None
    if head[:4] in _TIFF_MARKS:
        return None if head[8:10] == b"CR" else "TIFF"
    return next((name for name, mark in _PICTURES if head.startswith(mark)), None)


def looks_like(head: bytes) -> str | None:
    """What a file that is no readable picture seems to be, as a noun; None when unknown."""
    if head[4:8] == b"ftyp":
        return _ISO_BRANDS.get(head[8:12], "a video or an unknown ISO media file")
    if head[:4] in _TIFF_MARKS:
        return "a camera raw file"
    known = next((noun for mark, noun in _STRANGERS if head.startswith(mark)), None)
    return known or _text_kind(head)


def _is_avif(head: bytes) -> bool:
    """Whether the major brand, or one of the compatible ones after it, is AVIF's."""
    length = min(int.from_bytes(head[:4], "big"), HEAD_LENGTH)
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, length - 3, 4))}
    return bool(brands & {b"avif", b"avis"})


def _text_kind(head: bytes) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith((b"<svg", b"<?xml", b"<!--")):
        return "an SVG drawing" if b"<svg" in start else "an XML file"
    printable = bytes(range(32, 127)) + b"\t\r\n\f"
    return "a text file" if start and not start.translate(None, printable) else None
