"""Many readings as few points: no fall and no peak may be lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitals.envelope import envelope


def drawn(pairs, from_ns=0, width_ns=10):
    return envelope(
        np.array([t for t, _ in pairs], np.int64), np.array([v for _, v in pairs], float), from_ns, width_ns
    )


def test_the_example_of_its_docstring():
    found = drawn([(3, 1.0), (9, 5.0), (31, 2.0)])
    assert found.time_ns.tolist() == [9, 31]
    assert found.mean.tolist() == [3, 2]
    assert (found.low.tolist(), found.high.tolist()) == ([1, 2], [5, 2])


def test_the_deep_fall_is_kept():
    found = drawn([(i, 97.0 if i != 55 else 71.0) for i in range(100)])
    assert len(found.mean) == 10
    assert found.low.min() == 71
    assert found.time_ns[-1] == 99


def test_of_nothing_there_is_nothing():
    assert len(drawn([]).time_ns) == 0


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 300)), min_size=1, unique_by=lambda pair: pair[0]),
    st.integers(1, 5000),
)
def test_each_point_is_what_a_plain_loop_says_of_its_stretch(pairs, width_ns):
    pairs.sort()
    by_stretch = {}
    for time_ns, value in pairs:
        by_stretch.setdefault(time_ns // width_ns, []).append((time_ns, value))
    found = drawn(pairs, width_ns=width_ns)
    assert found.time_ns.tolist() == [held[-1][0] for held in by_stretch.values()]
    assert found.low.tolist() == [min(v for _, v in held) for held in by_stretch.values()]
    assert found.high.tolist() == [max(v for _, v in held) for held in by_stretch.values()]
    assert np.allclose(found.mean, [np.mean([v for _, v in held]) for held in by_stretch.values()])
