"""JSON item by item: the same as at once, in a window that stays small."""

import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellflow.data import json_stream
from cellflow.data.json_stream import iterate_json, starts_json_array
from cellflow.errors import DataError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def small_window(monkeypatch):
    """One to a few characters at a time, so that every place is a place where text is cut."""

    def set_to(size):
        monkeypatch.setattr(json_stream, "CHUNK", size)

    return set_to


def write(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(values, max_size=5), size=st.integers(1, 40), indent=st.none() | st.just(1))
def test_an_array_gives_its_elements(tmp_path, small_window, content, size, indent):
    small_window(size)
    path = write(tmp_path, json.dumps(content, indent=indent))
    assert list(iterate_json(path)) == [("", element) for element in content]
    assert starts_json_array(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.text(), values, max_size=5), size=st.integers(1, 40))
def test_an_object_gives_the_elements_of_its_arrays_and_its_other_values(
    tmp_path, small_window, content, size
):
    small_window(size)
    path = write(tmp_path, json.dumps(content, ensure_ascii=False))
    expected = []
    for key, value in content.items():
        expected += [(key, one) for one in (value if isinstance(value, list) else [value])]
    assert list(iterate_json(path)) == expected
    assert not starts_json_array(path)


def test_numbers_that_json_does_not_know_are_read_as_python_writes_them(tmp_path, small_window):
    small_window(1)
    path = write(tmp_path, "[NaN, -Infinity, 1e5, 12]")
    assert str([value for _, value in iterate_json(path)]) == "[nan, -inf, 100000.0, 12]"


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("", 1, r"expected \[ or \{ at the beginning"),
        ("17", 1, r"expected \[ or \{ at the beginning"),
        ("[1, 2", 6, "expected , or ], found the end of the file"),
        ("[1 2]", 4, "expected , or ], found '2'"),
        ("[1, ]", 5, "Expecting value"),
        ('[{"a": 1}, {"b" 2}]', 17, "Expecting ':' delimiter"),
        ('[{"a": "x', 8, "Unterminated string"),
        ('{"a": [1], b: 2}', 12, "expected a member's name in quotes"),
        ('{"a" [1]}', 6, r"expected :, found '\['"),
        ("[1] [2]", 5, "expected the end of the file"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_broken_text_is_an_error_with_its_place(tmp_path, small_window, text, where, reason, size):
    small_window(size)
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=f"character {where}: {reason}"):
        list(iterate_json(path))


def test_text_that_is_nested_too_deep_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nested too deep"):
        list(iterate_json(write(tmp_path, "[" * 100_000)))


def test_a_number_of_more_digits_than_python_reads_is_an_error(tmp_path):
    with pytest.raises(DataError, match="character 5: Exceeds the limit"):
        list(iterate_json(write(tmp_path, f"[1, {5000 * '1'}]")))


def test_a_fault_early_in_a_long_file_is_found_without_reading_the_rest(tmp_path, small_window):
    small_window(1000)
    path = write(tmp_path, '[{"a" 1}, ' + "1, " * 100_000 + "1]")
    read = []
    with path.open(encoding="utf-8") as file:

        class Counting:
            def read(self, size):
                read.append(size)
                return file.read(size)

        with pytest.raises(DataError, match="character 7"):
            list(json_stream._Reader(path, Counting()).items())
    assert sum(read) < 10_000


def test_an_item_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK", 100)
    monkeypatch.setattr(json_stream, "LONGEST_ITEM", 1000)
    with pytest.raises(DataError, match="an item is longer than 1,000 characters"):
        list(iterate_json(write(tmp_path, '["' + "x" * 100_000 + '"]')))


def test_text_that_is_not_utf8_and_a_missing_file_are_errors(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'["\xff"]')
    with pytest.raises(DataError, match="not UTF-8"):
        list(iterate_json(path))
    with pytest.raises(DataError, match="cannot read"):
        list(iterate_json(tmp_path / "none.json"))


def test_memory_stays_far_below_the_size_of_the_file(tmp_path):
    path = tmp_path / "long.json"
    item = json.dumps({"image_id": 1, "score": 0.5, "counts": "Yg0" * 310})
    with path.open("w") as file:
        file.write("[" + item)
        for _ in range(30_000):
            file.write(",\n" + item)
        file.write("]")
    assert path.stat().st_size > 28e6
    tracemalloc.start()
    try:
        n_items = sum(1 for _ in iterate_json(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_items == 30_001
    assert peak < 8e6
