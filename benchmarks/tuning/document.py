"""Put a study's tables into a document, between markers that name the study."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

MARKED = re.compile(r"(<!-- tuning (?P<name>\S+) -->\n).*?(<!-- /tuning -->)", re.DOTALL)


def fill(document: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- tuning NAME -->` and `<!-- /tuning -->` by the table of that name.

    Tables that the document has no place for are left out; places without a table stay as they are.
    """
    text = document.read_text(encoding="utf-8")
    filled = MARKED.sub(
        lambda found: f"{found[1]}{tables[found['name']]}{found[3]}" if found["name"] in tables else found[0], text
    )
    document.write_text(filled, encoding="utf-8")
