"""Position tables against the formula written out."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.model.pos_embed import position_table, sincos_2d


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 8), columns=st.integers(1, 64), quarter=st.integers(1, 6), data=st.data())
def test_table_follows_the_formula(rows, columns, quarter, data) -> None:
    table = sincos_2d(4 * quarter, (rows, columns))
    assert table.shape == (1, rows * columns, 4 * quarter)
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    expected = []
    for position in (column, row):
        angles = [position / 10000 ** (i / quarter) for i in range(quarter)]
        expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    assert table[0, row * columns + column].tolist() == pytest.approx(expected, abs=1e-6)


def test_only_trainable_tables_take_a_gradient() -> None:
    assert position_table(8, (2, 2), trainable=True).requires_grad
    assert not position_table(8, (2, 2), trainable=False).requires_grad
