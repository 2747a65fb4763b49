"""JSON objects and JSON lines, within a limit that no honest file comes near."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recface.files.guard import guarded

LARGEST_BYTES = 64_000_000


def read_json(path: str | Path, what: str = "JSON file", remedy: str = "") -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RecfaceError: The file is missing, damaged or no object; the message calls it `what`.
    """
    with guarded(path, what, remedy, LARGEST_BYTES):
        content = json.loads(Path(path).read_bytes())
        if not isinstance(content, dict):
            raise ValueError(f"it must be a JSON object, not a {type(content).__name__}")
    return content


def read_json_lines(path: str | Path, remedy: str = "remove the line") -> list[dict[str, Any]]:
    """Read JSON objects, one a line; a last line that a killed process did not finish is left out.

    Raises:
        RecfaceError: The file or a line of it is damaged.
    """
    found = []
    with guarded(path, "list of JSON lines", remedy, LARGEST_BYTES):
        *lines, _ = Path(path).read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from None
            if not isinstance(found[-1], dict):
                raise ValueError(f"line {number} must be a JSON object")
    return found
