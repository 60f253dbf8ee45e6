"""A reading that another process sealed under is made anew."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hsagency.audit import lake
from hsagency.audit.lake import sealing
from hsagency.audit.lake.steady import steadily
from hsagency.errors import AuditError
from tests.audit.reading import ending, intent
from tests.audit.test_sealing import lay, written

SLUG = "acme-corp"


def test_a_reading_whose_file_was_merged_with_others_meanwhile_is_made_anew(tmp_path: Path) -> None:
    some = [intent(1), ending(1), intent(2), ending(2)]
    lay(tmp_path, "000-000001", written(some, "000-000001", closed=True))
    sealing.seal(tmp_path, SLUG, zone="US/Eastern")
    looks = []

    def look() -> pl.DataFrame:
        frame = lake.read(tmp_path, [SLUG]).calls
        if not looks:  # another zone moves every row to a new file
            sealing.seal(tmp_path, SLUG, zone="Asia/Kolkata")
        looks.append(frame)
        return frame.collect()

    assert steadily(look).height == 2
    assert len(looks) == 2


def test_files_that_go_all_the_time_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="Nothing was read") as raised:
        steadily(lambda: pl.scan_parquet(tmp_path / "gone.parquet").collect())
    assert "audit rebuild" in str(raised.value.hint)
