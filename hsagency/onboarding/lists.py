"""
The text of a client list: lines of cells, with the numbers they have in the file.

Accepted: UTF-8 with or without byte-order mark, any line ends, commas, semicolons or tabs,
quoted fields, blank lines, and comments that start with `#`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from hsagency.errors import OnboardingError


def lines_of(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """
    Yield line numbers and cells, without blank lines and comments.

    Raises `OnboardingError` for what is no CSV in UTF-8.
    """
    text = _text(content)
    records = _Records(text, delimiter=_delimiter(text))
    while True:
        try:
            record = records.next()
        except csv.Error:
            raise OnboardingError(
                f"Line {records.line} of the client list is not CSV; nothing was onboarded.",
                hint="A quote is opened and not closed there, or a quoted field has text after it.",
            ) from None
        if record is None:
            return
        cells = [cell.strip() for cell in record]
        if any(cells):
            yield records.line, cells


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 without a mark, or no text at all
        raise OnboardingError(
            "The client list is not text in UTF-8; nothing was onboarded.",
            hint="In Excel: save it as 'CSV UTF-8'. Elsewhere: export CSV, character set UTF-8.",
        )
    return text


def _delimiter(text: str) -> str:
    lines = io.StringIO(text, newline="")
    head = next((one for one in lines if one.strip() and not _is_comment(one)), "")
    return max(",;\t", key=head.count)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


class _Records:
    """
    The CSV records of a text; `line` is where the last one began.

    Comments are left out before the CSV reader sees them, since a quote in one would open a
    field; inside a quoted field a line may begin with # all the same.
    """

    def __init__(self, text: str, *, delimiter: str) -> None:
        # Only line ends end lines: str.splitlines would also break at form feeds and U+2028.
        self._source = enumerate(io.StringIO(text, newline=""), start=1)
        self._reader = csv.reader(self._feed(), delimiter=delimiter, strict=True)
        self._inside = False
        self.line = 0

    def next(self) -> list[str] | None:
        """Return the cells of the next record; none is left if there is nothing."""
        self._inside = False
        return next(self._reader, None)

    def _feed(self) -> Iterator[str]:
        for number, line in self._source:
            if self._inside or not _is_comment(line):
                if not self._inside:
                    self.line, self._inside = number, True
                yield line
