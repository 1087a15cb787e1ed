import string

import numpy as np
import pytest

from cellflow.pictures.lettering import add_caption, fit_text, load_font, plain, side_by_side

GREY = np.full((10, 200, 3), 100, np.uint8)


def test_a_caption_stands_above_and_leaves_the_picture_alone():
    drawn = add_caption(GREY, "cort, 34 cells", size=20)
    assert drawn.shape == (42, 200, 3)
    np.testing.assert_array_equal(drawn[32:], GREY)
    assert (drawn[:32] < 128).any()
    assert (drawn[:32, 190:] == 255).all()


@pytest.mark.parametrize("text", ["", "\n\t", "é ü – 細胞 🧫", "x" * 500, "a\x00b"])
def test_any_text_can_be_lettered(text):
    assert add_caption(GREY, text).shape == (42, 200, 3)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Übung – 細胞 №5", "Ubung - ?? No5"),
        ("ø µm, 37 °C ± ½, Łódź", "o um, 37 degC +- 1/2, Lodz"),
        ("‘neuron’ “astro” … ≥ 3 → æß", "'neuron' \"astro\" ... >= 3 -> aess"),
        ("한 が α 🧫", "? ? ? ?"),
        ("a\x00b\tc\u00ad\u200bd\N{NO-BREAK SPACE}e", "a?b cd e"),
        ("x\N{COMBINING ACUTE ACCENT}y", "xy"),
        ("\ud800", "?"),
    ],
)
def test_no_letter_is_lost_each_is_spelled_or_a_question_mark(text, shown):
    assert plain(text) == shown
    if "\ud800" not in text:
        assert add_caption(GREY, text).shape == (42, 200, 3)


def test_the_font_has_all_that_plain_text_is_made_of():
    font = load_font(20)
    missing = bytes(font.getmask("\uffff"))
    for sign in string.printable.strip():
        mask = font.getmask(sign)
        assert mask.getbbox(), sign
        assert bytes(mask) != missing, sign


def test_long_text_ends_in_an_ellipsis_and_fits():
    font = load_font(15)
    shown = fit_text("a long sentence that does not fit", 100, font)
    assert shown.endswith("...")
    assert font.getlength(shown) <= 100
    assert fit_text("abc", 100, font) == "abc"
    assert fit_text("abc", 0, font) == ""


def test_pictures_of_different_height_stand_beside_each_other():
    sheet = side_by_side([GREY, GREY[:4, :50]], gap=8)
    assert sheet.shape == (10, 258, 3)
    assert (sheet[4:, 208:] == 255).all()
    assert (sheet[:, 200:208] == 255).all()
