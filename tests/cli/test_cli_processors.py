"""Waiting threads of torch do not take the processor from others."""

import pytest

from styler.cli.main import SPINS, share_processors


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"GOMP_SPINCOUNT": SPINS}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
    ],
)
def test_what_the_user_set_stays(before: dict[str, str], after: dict[str, str]) -> None:
    share_processors(before)
    assert before == after
