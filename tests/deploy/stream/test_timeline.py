"""The timeline against a plain dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.stream.timeline import Timeline

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 700)),
        st.tuples(st.just("fill"), st.integers(0, 1500)),
        st.tuples(st.just("drop"), st.integers(-50, 1200)),
    ),
    max_size=12,
)


@given(start=st.integers(-5000, 5000), operations=OPERATIONS, low=st.integers(-100, 3000), count=st.integers(0, 400))
def test_behaves_like_a_dictionary_of_rows(start: int, operations: list[tuple[str, int]], low: int, count: int) -> None:
    timeline = Timeline((2,), np.float32, -1.0)
    timeline.start_at(start)
    rows: dict[int, float] = {}
    end = start
    for kind, amount in operations:
        if kind == "drop":
            timeline.drop_before(start + amount)
            rows = {index: value for index, value in rows.items() if index >= start + amount}
            continue
        values = np.arange(end, end + amount, dtype=np.float32) if kind == "append" else np.full(amount, -1.0)
        rows.update(zip(range(end, end + amount), values.tolist(), strict=True))
        if kind == "append":
            timeline.append(np.stack([values, values], axis=1))
        else:
            timeline.append_fill(amount)
        end += amount
    assert timeline.end == end
    wanted = [rows.get(index, -1.0) for index in range(start + low, start + low + count)]
    np.testing.assert_array_equal(timeline.read(start + low, start + low + count)[:, 1], wanted)
