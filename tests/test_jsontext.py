"""JSON that every reader takes."""

import json

import pytest

from cellflow.errors import DataError
from cellflow.jsontext import read_object, to_json


def test_what_is_not_finite_becomes_null_and_all_else_comes_back():
    content = {"é": [1.5, float("nan"), (float("-inf"), 2)], "b": {"c": None, "d": True}}
    again = json.loads(to_json(content), parse_constant=pytest.fail)
    assert again == {"é": [1.5, None, [None, 2]], "b": {"c": None, "d": True}}
    assert "é" in to_json(content)
    assert "\n" not in to_json(content, indent=None)


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"a": 1', 100_000 * "[", f'{{"a": {5000 * "1"}}}', '"\ud83d']
)
def test_a_file_that_holds_no_object_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "a.json").write_text(text, errors="surrogatepass")
    with pytest.raises(DataError, match=r"a\.json: broken .*; copy it again"):
        read_object(tmp_path / "a.json", DataError, "copy it again")
