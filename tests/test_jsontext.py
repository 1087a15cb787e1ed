"""JSON that every reader takes."""

import json

import pytest

from cellflow.jsontext import to_json


def test_what_is_not_finite_becomes_null_and_all_else_comes_back():
    content = {"é": [1.5, float("nan"), (float("-inf"), 2)], "b": {"c": None, "d": True}}
    again = json.loads(to_json(content), parse_constant=pytest.fail)
    assert again == {"é": [1.5, None, [None, 2]], "b": {"c": None, "d": True}}
    assert "é" in to_json(content)
    assert "\n" not in to_json(content, indent=None)
