"""The short form of the soak; the long one is `python -m tests.faults.soak --kills 200`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.soak import soak


@pytest.mark.promise("survive.finished", "survive.recorded", "record.at_once", "continuous.once")
@pytest.mark.timeout(120)
async def test_many_kills_lose_no_row_and_repeat_no_recorded_row(tmp_path: Path) -> None:
    found, said = await soak(tmp_path / "store.db", seed=1, kills=15, at_most_seconds=100)
    assert not found, f"{said}: {found[:20]}"
