from __future__ import annotations

from pathlib import Path

from tests.studies.files import EXCHANGES, record


def test_the_number_of_files_a_day_does_not_grow_with_the_markets(tmp_path: Path):
    few = record(tmp_path / "few", ["AAAUSDT"], hours=1, publish=True)
    many = record(tmp_path / "many", [f"COIN{number}USDT" for number in range(10)], hours=1, publish=True)
    assert many.left == few.left  # the day, bundled
    # All files ever seen, apart from the published days, which have folders at first.
    assert many.made - 5 * 10 == few.made - 5
    assert EXCHANGES * 24 * (many.made - 5 * 10) < 2000
