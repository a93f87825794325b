"""Contact sheets."""

import pytest
import torch

from styler.errors import UsageError
from styler.report.sheets import GAP, contact_sheet


def test_pictures_stand_in_rows_with_labels_below() -> None:
    red, blue = torch.zeros(1, 3, 40, 60), torch.zeros(1, 3, 20, 20)
    red[:, 0], blue[:, 2] = 1, 1
    sheet = contact_sheet([[("one", red), ("two", blue)], [("three", blue)]], height=80)
    assert sheet[0, :, GAP, GAP].tolist() == [1, 0, 0]
    assert sheet[0, :, GAP, 2 * GAP + 120].tolist() == [0, 0, 1]  # 60×40 has become 120×80
    below = sheet[0, :, GAP + 80 : GAP + 80 + 24, GAP : GAP + 60]
    assert float(below.min()) < 0.2  # letters
    assert sheet[0, :, GAP, -1].tolist() == [1, 1, 1]


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        contact_sheet([[]])
