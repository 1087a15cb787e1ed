"""No name gets out of its place in the page."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.report.markup import name, plain, script_json, table, tag, text


class Parsed(HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.tags, self.attributes, self.shown = [], {}, ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, kind, attributes):
        self.tags.append(kind)
        self.attributes |= dict(attributes)

    def handle_data(self, data):
        self.shown += data


@given(st.text())
def test_any_text_comes_back_from_an_element_and_an_attribute(value):
    parsed = Parsed(tag("p", text(value), title=value))
    assert parsed.tags == ["p"]
    assert parsed.shown == plain(value)
    assert parsed.attributes["title"] == plain(value)


@given(
    st.recursive(st.text() | st.integers(), lambda c: st.lists(c) | st.dictionaries(st.text(), c))
)
def test_json_in_a_script_element_parses_and_cannot_end_it(content):
    written = script_json(content)
    assert json.loads(written) == content
    assert not set("<>&\u2028\u2029") & set(written)


def test_what_utf8_cannot_hold_is_replaced():
    assert plain("a\udcff\x00b\tc") == "a\ufffd\ufffdb\tc"
    plain("\ud800").encode()


def test_a_name_keeps_its_writing_direction_to_itself():
    assert name("a<\u202eb") == "<bdi>a&lt;\u202eb</bdi>"


@pytest.mark.parametrize(
    ("attributes", "written"),
    [
        ({"x": 1 / 3, "y": 2.0, "z": 100}, '<a x="0.33" y="2" z="100"></a>'),
        (
            {"class_": "b", "aria_label": 'say "x"'},
            '<a class="b" aria-label="say &quot;x&quot;"></a>',
        ),
        ({"hidden": True, "open": False, "title": None}, "<a hidden></a>"),
    ],
)
def test_attributes_are_written_as_html_names_them(attributes, written):
    assert tag("a", **attributes) == written


def test_a_table_names_its_columns_and_rows():
    parsed = Parsed(table("About <it>", ["x", "y"], [["a", "1"]]))
    assert parsed.tags.count("th") == 3
    assert parsed.attributes["scope"] == "row"
    assert parsed.attributes["aria-label"] == "About <it>"
