"""One page of reconstructed faces: a file without scripts that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

FILES = (
    ("neutral.obj", "neutral OBJ"),
    ("neutral.glb", "neutral GLB"),
    ("posed.obj", "posed OBJ"),
    ("posed.glb", "posed GLB"),
    ("parameters.json", "parameters JSON"),
    ("parameters.npz", "parameters NPZ"),
    ("overlay.jpg", "overlay in full size"),
)
OF_PERSON = ("neutral.obj", "neutral.glb", "parameters.json", "parameters.npz")
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; }
article { border-top: 1px solid #8886; padding: 1rem 0; break-inside: avoid; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: 1fr 1fr 3fr; gap: .5rem; }
.pictures.alone { grid-template-columns: 1fr; max-width: 768px; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 4px; }
figcaption { font-size: .875rem; }
ul.files { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; padding: 0; margin: .5rem 0 0; }
ul.files a { display: inline-block; padding: .25rem 0; }
p { margin: .5rem 0 0; }
@media (max-width: 700px) {
  .pictures { grid-template-columns: 1fr 1fr; }
  .pictures figure:nth-child(3) { grid-column: 1 / -1; }
}
"""


@dataclass(frozen=True)
class Shown:
    """A face on the page.

    Attributes:
        title: Such as the photo's name.
        folder: Where its files lie, relative to the page.
        text: A line about it.
        photo: Data URI of the photo around the face; none for a fused shape.
        overlay: Of the shape over it.
        views: Of the neutral shape from three sides.
    """

    title: str
    folder: str
    text: str
    photo: str = ""
    overlay: str = ""
    views: str = ""


def faces_page(faces: Sequence[Shown], skipped: Sequence[str] = (), remarks: Sequence[str] = ()) -> str:
    """HTML of a page, with the photos that were skipped and remarks at its end."""
    number = sum(bool(face.photo) for face in faces)
    lists = "".join(
        f"<h2>{title}</h2>\n<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>\n"
        for title, lines in (("Photos without a result", skipped), ("Remarks", remarks))
        if lines
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reconstructed faces</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{number} face{"s" * (number != 1)}, reconstructed</h1>
<p>Of each: the photo, its shape over it, and its neutral shape from three sides.
OBJ files are in millimeters, GLB files in meters.</p>
{"".join(map(_article, faces))}{lists}</main>
</body>
</html>
"""


def _article(face: Shown) -> str:
    title, folder = escape(face.title), quote(face.folder)
    pictures = (
        (face.photo, "Photo", f"Photo of the face in {title}"),
        (face.overlay, "Shape over the photo", f"Reconstructed shape drawn over the face in {title}"),
        (face.views, "Neutral shape, three sides", f"Neutral shape of {title} from the left, the front and the right"),
    )
    figures = "\n".join(
        f'<figure><img src="{source}" alt="{alt}" loading="lazy"><figcaption>{caption}</figcaption></figure>'
        for source, caption, alt in pictures
        if source
    )
    links = "".join(
        f'<li><a href="{folder}/{file}" aria-label="{label} of {title}">{label}</a></li>'
        for file, label in FILES
        if face.photo or file in OF_PERSON
    )
    return f"""<article>
<h2>{title}</h2>
<div class="pictures{"" if face.photo else " alone"}">
{figures}
</div>
<p>{escape(face.text)}</p>
<ul class="files">{links}</ul>
</article>
"""
