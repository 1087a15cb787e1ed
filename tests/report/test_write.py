"""The file holds all it shows, asks nothing of the network, and is whole or absent."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from hostile_competition import CENTRES, EVIL, NAMES, discs
from unpacking import unpack_numbers

from cellflow.comparison.compare import compare
from cellflow.comparison.importers import Sources
from cellflow.comparison.score import score_submission
from cellflow.data.flatten import flatten
from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, read_train_csv, write_train_csv
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import write_submission
from cellflow.errors import ConfigError, DataError, ImageError, SubmissionError
from cellflow.pictures.colours import HIT, MISSED, SPURIOUS
from cellflow.report import score_section
from cellflow.report.page import SCRIPTS, _read
from cellflow.report.plots import BOTTOM, PANEL_HEIGHT, TOP
from cellflow.report.write import report_comparison, report_predictions, report_score
from cellflow.synth.samples import draw_field


class Page(HTMLParser):
    """What a report is made of."""

    def __init__(self, path):
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.attributes, self.ids, self.blocks, self.scripts, self.styles = [], [], {}, [], []
        self.shown, self.meta, self._into = "", {}, None
        self.feed(self.html)
        self.close()

    def handle_starttag(self, kind, attributes):
        found = dict(attributes)
        self.attributes += [(kind, *pair) for pair in attributes]
        self.ids += [found["id"]] if "id" in found else []
        self._into = (kind, found.get("type"), found.get("id"))
        if kind == "meta":
            self.meta[found.get("http-equiv") or found.get("name")] = found.get("content")

    def handle_endtag(self, kind):
        self._into = None

    def handle_data(self, data):
        match self._into:
            case ("script", "application/json", identifier):
                self.blocks[identifier] = json.loads(data)
            case ("script", None, _):
                self.scripts.append(data)
            case ("style", *_):
                self.styles.append(data)
            case _:
                self.shown += data


@pytest.fixture(scope="module")
def page(folder, submissions, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "report.html"
    comparison = compare(submissions, folder / "train.csv")
    result = report_comparison(path, comparison, folder / "train.csv")
    assert result.n_bytes == path.stat().st_size
    assert (result.n_images, result.n_shown, result.n_pictures) == (4, 4, 2)
    return Page(path)


@pytest.fixture(scope="module")
def alone(folder, submissions, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "alone.html"
    report_predictions(path, submissions, sources=Sources(images=(folder / "train",)))
    return Page(path)


def test_every_data_block_parses_and_has_the_numbers(page):
    facts = page.blocks["report-data"]
    assert [image["name"] for image in facts["images"]] == list(NAMES)
    assert facts["models"] == ["a <i>&", "good"]
    (pair,) = facts["numbers"]["pairs"]
    # 1 of 5, against 3 of 4 three times and 4 of 4; cell 1 of the first model is no hit.
    assert pair["difference"]["estimate"] == pytest.approx(0.2 - (3 * 0.75 + 1) / 4)
    assert {"image-0", "image-1", "image-2", "image-3"} < page.blocks.keys()


def test_names_stand_in_the_page_as_text(page):
    for name in NAMES:
        assert name in page.shown
    assert EVIL not in page.html
    assert "<i>" not in page.html.replace("&lt;i&gt;", "")
    assert "broken" not in "".join(page.scripts)


def test_a_name_that_holds_the_class_of_a_colour_stays_as_it_is(tmp_path):
    image = KaggleImage(name="team5", masks=discs(CENTRES), metadata={})
    write_train_csv(tmp_path / "train.csv", [image])
    write_submission(tmp_path / "ours.csv", [("team5", discs(CENTRES))])
    report_predictions(tmp_path / "r.html", [tmp_path / "ours.csv"], truth=tmp_path / "train.csv")
    page = Page(tmp_path / "r.html")
    assert page.shown.count("team5: 4 cells") == 2
    assert ("circle", "class", "dot truth") in page.attributes


def test_nothing_outside_the_file_is_referenced(page, alone):
    for one in (page, alone):
        links = [v for _, key, v in one.attributes if key in ("href", "src", "srcset", "data")]
        assert links
        assert all(link.startswith("#") for link in links)
        assert {link[1:] for link in links} <= set(one.ids)
        assert not re.search(r"url\(|@import|https?:", "".join(one.styles + one.scripts))
        assert not {"link", "iframe", "object", "embed", "base", "form"} & {
            kind for kind, *_ in one.attributes
        }
        assert not [key for _, key, _ in one.attributes if key.startswith("on") or key == "style"]


def test_the_policy_allows_the_pages_own_style_and_scripts_and_nothing_else(page):
    policy = dict(rule.split(" ", 1) for rule in page.meta["Content-Security-Policy"].split("; "))
    assert policy.keys() == {"default-src", "img-src", "style-src", "script-src"}
    assert (policy["default-src"], policy["img-src"]) == ("'none'", "data:")
    for key, contents in (("style-src", page.styles), ("script-src", page.scripts)):
        digests = [hashlib.sha256(one.encode()).digest() for one in contents]
        expected = {f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests}
        assert set(policy[key].split()) == expected


def test_identifiers_are_unique_and_every_plot_has_its_numbers(page, alone):
    for one in (page, alone):
        assert len(one.ids) == len(set(one.ids))
    assert page.html.count("<summary>The numbers</summary>") == page.html.count('class="plot"') == 6


def test_the_first_screen_answers_which_is_better_by_how_much_and_what_to_know(page):
    top = page.html.split("<nav")[0]
    assert "<bdi>a &lt;i&gt;&amp;</bdi> and <bdi>good</bdi> cannot be told apart." in top
    assert re.search(r"<strong>\+0\.\d{3}</strong> mAP, 95 % interval −0\.\d{3} to \+1\.000", top)
    assert "with 4 independent groups of images, 95 % intervals held the truth in" in top.lower()
    assert "paired over 4 images" in top


def test_it_says_where_the_difference_lies_and_what_more_images_could_show(page):
    for words in ("By IoU threshold", "neither", "mAP would be", "606 images", "opposite order"):
        assert words in page.shown
    assert "where" in page.ids
    assert "pip install" not in page.shown


def test_the_error_budget_says_how_many_cells_each_cure_changes(page):
    section = page.html.split('id="errors"')[1].split("</section>")[0]
    assert "changed by the cure" in section
    row = section[section.rindex(">boundary<") :]
    # Of the second model all 13 cells are found, as drawn.
    assert re.findall(r">([^<>]+)<", row)[1:4] == ["0", "0", "0"]
    first = section[section.index("Errors of each model") :]
    row = first[first.index(">boundary<") :]
    # Of the first 4 cells are outlined wrongly; the 4 that are found are as drawn.
    assert re.findall(r">([^<>]+)<", row)[1:4] == ["4", "4", "4"]


def test_the_worst_image_comes_first_in_the_list(page):
    order = re.findall(r'<tr data-image="(\d)"', page.html)
    assert order[-1] == "3"
    assert sorted(order) == list("0123")


def test_one_score_gives_its_own_headline_and_no_difference(folder, submissions, tmp_path):
    truth = folder / "train.csv"
    score = score_submission(truth, submissions[1])
    report_score(tmp_path / "r.html", score, truth)
    one = Page(tmp_path / "r.html")
    assert f"good</bdi> scores {score.mean.estimate:.3f} on 4 images" in one.html
    assert "errors" in one.ids
    assert "difference" not in one.ids
    assert one.blocks["report-data"]["numbers"]["overall"]["mean"] == score.mean.estimate


def test_without_truth_it_says_so_and_shows_counts_and_sizes(alone):
    assert "found 4 cells, good 7 in 2 images" in alone.shown
    assert "There is no truth here" in alone.shown
    assert {"cells", "images"} <= set(alone.ids)
    assert not {"scores", "errors", "difference"} & set(alone.ids)
    assert alone.blocks["report-data"]["numbers"] is None


def test_results_with_confidence_show_it_and_say_where_a_model_is_not_sure(tmp_path):
    results = []
    for number in range(6):
        write_png(tmp_path / f"images/i{number}.png", np.zeros((40, 60), np.uint8))
        box = [[5, 5, 15, 5, 15, 15, 5, 15]]
        score = 0.31 if number == 4 else 0.9
        one = {"image_id": f"i{number}", "category_id": 1, "segmentation": box, "score": score}
        results.append(one)
    (tmp_path / "found.json").write_text(json.dumps(results))
    sources = Sources(images=(tmp_path / "images",))
    report_predictions(tmp_path / "r.html", [tmp_path / "found.json"], sources=sources)
    one = Page(tmp_path / "r.html")
    assert "How sure the models are" in one.shown
    assert "confidence" in one.ids
    assert unpack_numbers(one.blocks["image-4"]["found"][0]["confidence"]) == [310]
    assert re.findall(r'<tr data-image="(\d)"', one.html)[0] == "4"
    assert "low confidence" in one.shown


def test_scores_that_are_no_confidences_are_shown_as_such_and_told(tmp_path):
    write_png(tmp_path / "images/a.png", np.zeros((4, 6), np.uint8))
    square = {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]], "image_id": "a", "category_id": 1}
    results = [square | {"score": score} for score in (-0.7, 2.5)]
    (tmp_path / "r.json").write_text(json.dumps(results))
    sources = Sources(images=(tmp_path / "images",))
    report_predictions(tmp_path / "r.html", [tmp_path / "r.json"], sources=sources)
    assert "are taken as logits" in (tmp_path / "r.html").read_text()


def test_a_single_method_of_any_kind_is_scored_with_truth(folder, tmp_path):
    truth = read_train_csv(folder / "train.csv")
    for name in ("b", NAMES[3]):
        labels = flatten(truth[name].masks).astype(np.uint16)
        write_png(tmp_path / f"labels/{name}.png", labels)
    report_predictions(tmp_path / "r.html", [tmp_path / "labels"], truth=folder / "train.csv")
    one = Page(tmp_path / "r.html")
    assert "labels</bdi> scores 1.000 on 2 images" in one.html
    assert "labels lacks 2 images of the truth, left out" in one.shown
    assert "if nothing was found there" not in one.shown


def test_a_list_of_results_scored_alone_says_that_images_may_be_empty_ones(folder, tmp_path):
    box = [[5, 5, 15, 5, 15, 15, 5, 15]]
    result = {"image_id": "b", "category_id": 1, "segmentation": box, "score": 0.9}
    (tmp_path / "found.json").write_text(json.dumps([result]))
    report_predictions(tmp_path / "r.html", [tmp_path / "found.json"], truth=folder / "train.csv")
    assert "if nothing was found there, --image-names tells so" in Page(tmp_path / "r.html").shown


def test_bands_that_reach_above_all_curves_are_drawn_whole(
    folder, submissions, tmp_path, monkeypatch
):
    monkeypatch.setattr(score_section, "_band", lambda *score: (np.zeros(10), np.full(10, 1.37)))
    report_predictions(tmp_path / "r.html", submissions, truth=folder / "train.csv")
    bands = re.findall(r'<polygon points="([^"]+)" class="band', Page(tmp_path / "r.html").html)
    places = {float(point.partition(",")[2]) for band in bands for point in band.split()}
    # The axis goes to 1.5.
    bottom = PANEL_HEIGHT - BOTTOM
    top = bottom - 1.37 / 1.5 * (bottom - TOP)
    assert sorted(places) == [pytest.approx(top, abs=0.1), bottom]


def test_equal_input_gives_equal_bytes(folder, submissions, tmp_path):
    for name in ("a.html", "b.html"):
        report_predictions(tmp_path / name, submissions, truth=folder / "train.csv")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize(
    ("variant", "how"),
    [
        ("competition", "greater than the threshold, one prediction a cell"),
        ("pooled", "each summed over all images"),
        ("report", "TP are predictions with a partner"),
        ("hungarian-ge", "at least the threshold, one prediction a cell"),
    ],
)
def test_the_report_says_how_its_variant_counts(folder, submissions, tmp_path, variant, how):
    truth = folder / "train.csv"
    score = score_submission(truth, submissions[0], variant=variant)
    report_score(tmp_path / "r.html", score, truth)
    shown = Page(tmp_path / "r.html").shown
    assert f"(variant {variant})" in shown
    assert how in shown
    assert ("go by the variant competition all the same" in shown) == (variant != "competition")
    assert ("Counts summed over all images (micro)" in shown) == (variant != "report")


def test_a_report_has_the_pooled_counts_of_every_model(page):
    pooled = page.blocks["report-data"]["numbers"]["scores"]["good"]["overall"]["pooled"]
    # 3 of 4 cells in three images and 4 of 4 in one.
    assert [pooled[side][0] for side in ("tp", "fp", "fn")] == [13, 0, 3]
    assert "good, 0.50" in page.shown


def test_a_report_of_other_thresholds_is_refused(folder, submissions, tmp_path):
    truth = folder / "train.csv"
    score = score_submission(truth, submissions[0], thresholds=[0.5])
    with pytest.raises(ConfigError, match="a report shows the thresholds"):
        report_score(tmp_path / "r.html", score, truth)
    assert not list(tmp_path.iterdir())


def test_nothing_in_a_comparison_speaks_of_a_hidden_test_set(folder, submissions, page):
    told = "80 and 160 other such images, as the public and the private part of a competition's"
    table = " ".join(compare(submissions, folder / "train.csv").table().split())
    assert told in table
    assert told in " ".join(page.shown.split())
    assert "hidden" not in table + page.shown


def test_one_image_gives_a_report_without_intervals(folder, tmp_path):
    truth = read_train_csv(folder / "train.csv")
    path = tmp_path / "one.csv"
    write_submission(path, [("b", truth["b"].masks)])
    report_predictions(tmp_path / "r.html", [path], truth=folder / "train.csv")
    one = Page(tmp_path / "r.html")
    assert "one</bdi> scores 1.000 on 1 image." in one.html
    assert "no interval" in one.shown
    assert not re.search(r"\bnan\b", one.shown.lower())


def test_one_cell_is_one_cell(tmp_path):
    metadata = {"cell_type": "cort"}
    write_train_csv(
        tmp_path / "t.csv", [KaggleImage(name="a", masks=discs([(20, 20)]), metadata=metadata)]
    )
    for name in ("x", "y"):
        write_submission(tmp_path / f"{name}.csv", [("a", discs([(20, 20)]))])
    write_png(tmp_path / "images" / "a.png", np.zeros((90, 120), np.uint8))
    paths, out = [tmp_path / "x.csv", tmp_path / "y.csv"], tmp_path / "r.html"
    images = Sources(images=(tmp_path / "images",))
    for how in ({"truth": tmp_path / "t.csv"}, {"sources": images}):
        for predictions in (paths, paths[:1]):
            report_predictions(out, predictions, **how)
            page = Page(out)
            assert not re.search(r"\b1 (annotated )?(cells|images|hits)\b", page.html)
            assert "1 cell" in page.shown


def test_a_page_that_is_larger_than_asked_for_without_pictures_says_so(
    folder, submissions, tmp_path
):
    truth = folder / "train.csv"
    result = report_predictions(tmp_path / "r.html", submissions, truth=truth, megabytes=0.1)
    assert result.n_shown == 0
    assert result.n_bytes > 100_000
    assert f"it takes {result.n_bytes / 1e6:.1f} MB, more than was asked for" in result.remarks[-1]


def test_what_does_not_fit_is_left_out_of_the_viewer_and_said(folder, submissions, tmp_path):
    with pytest.raises(ConfigError, match=r"expected 0.1 to 500, found 0.01"):
        report_predictions(
            tmp_path / "r.html", submissions, truth=folder / "train.csv", megabytes=0.01
        )
    for number in range(60):
        picture = np.random.default_rng(number).integers(0, 256, (90, 120)).astype(np.uint8)
        write_png(tmp_path / f"images/{number}.png", picture)
    found = read_train_csv(folder / "train.csv")["b"].masks
    path = tmp_path / "many.csv"
    write_submission(path, [(str(number), found) for number in range(60)])
    result = report_predictions(
        tmp_path / "r.html", [path], sources=Sources(images=(tmp_path / "images",)), megabytes=0.2
    )
    assert result.n_bytes <= 200_000
    assert 0 < result.n_shown < result.n_images == 60
    one = Page(tmp_path / "r.html")
    assert f"holds the first {result.n_shown} of 60 images" in one.shown
    assert len([key for key in one.blocks if key.startswith("image-")]) == result.n_shown
    assert f"60 images, {result.n_shown} of them in the viewer, 0.2 MB" in result.summary


def test_120_images_of_phase_contrast_truth_and_two_models_fit_into_12_megabytes(tmp_path):
    kinds = ("cort", "shsy5y", "cort", "astro")
    fields = [draw_field(kind, np.random.default_rng(k)) for k, kind in enumerate(kinds)]
    images = []
    (tmp_path / "train").mkdir()
    for k in range(120):
        picture, masks = fields[k % 4]
        image = KaggleImage(name=f"{k:012x}", masks=masks, metadata={"cell_type": kinds[k % 4]})
        images.append(image)
        # Another place of the field each time, so that no picture occurs twice.
        shifted = np.roll(picture, 5 * k, axis=1)
        tifffile.imwrite(tmp_path / f"train/{image.name}.tif", shifted)
    write_train_csv(tmp_path / "train.csv", images)
    found = [labels_to_masks(flatten(masks)) for _, masks in fields]
    for model in (1, 2):
        kept = [masks.select(np.arange(len(masks)) % 9 != model) for masks in found]
        rows = ((image.name, kept[k % 4]) for k, image in enumerate(images))
        write_submission(tmp_path / f"model{model}.csv", rows)
    result = report_predictions(
        tmp_path / "r.html",
        [tmp_path / "model1.csv", tmp_path / "model2.csv"],
        truth=tmp_path / "train.csv",
    )
    assert (result.n_shown, result.n_pictures) == (120, 120)
    assert 9e6 < result.n_bytes <= 12e6
    assert result.n_bytes == (tmp_path / "r.html").stat().st_size


def test_an_error_leaves_the_old_file_and_nothing_else(folder, submissions, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("old")
    broken = tmp_path / "images"
    broken.mkdir()
    (broken / "b.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"b.png: broken image"):
        report_predictions(
            path, submissions, truth=folder / "train.csv", sources=Sources(images=(broken,))
        )
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "r.html"]


def test_one_broken_picture_is_told_and_does_not_stop_the_report(folder, submissions, tmp_path):
    shutil.copytree(folder / "train", tmp_path / "train")
    (tmp_path / "train" / "b.png").write_bytes(b"no picture")
    path, sources = tmp_path / "r.html", Sources(images=(tmp_path / "train",))
    result = report_predictions(path, submissions, truth=folder / "train.csv", sources=sources)
    assert (result.n_pictures, result.n_unread) == (1, 1)
    assert "without 1 picture that cannot be read" in result.summary
    assert any("b.png: broken image" in remark for remark in result.remarks)
    assert "1 picture cannot be read, so that the cells stand alone" in Page(path).shown


def test_without_truth_an_image_that_cannot_be_read_is_left_out_and_told(
    folder, submissions, tmp_path
):
    shutil.copytree(folder / "train", tmp_path / "train")
    path, sources = tmp_path / "r.html", Sources(images=(tmp_path / "train",))
    n_images = report_predictions(path, submissions[:1], sources=sources).n_images
    (tmp_path / "train" / "b.png").write_bytes(b"no picture")
    result = report_predictions(path, submissions[:1], sources=sources)
    assert result.n_images == n_images - 1
    assert any(
        remark.startswith("left out: ") and "b.png: broken image" in remark
        for remark in result.remarks
    )
    for picture in (tmp_path / "train").iterdir():
        picture.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="broken image"):
        report_predictions(path, submissions[:1], sources=sources)


def test_a_file_that_cannot_be_written_is_one_error(folder, submissions, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*r.html"):
        report_predictions(tmp_path / "file" / "r.html", submissions, truth=folder / "train.csv")


def test_wrong_input_is_refused_by_name(folder, submissions, tmp_path):
    truth, out = folder / "train.csv", tmp_path / "r.html"
    other = tmp_path / "images"
    write_png(other / "x.png", np.zeros((90, 120), np.uint8))
    with pytest.raises(
        DataError, match=r"--images: none of the 1, such as x, is one of the 4 images"
    ):
        report_predictions(out, submissions, truth=truth, sources=Sources(images=(other,)))
    with pytest.raises(ConfigError, match="needs the images"):
        report_predictions(out, submissions)
    with pytest.raises(DataError, match=r"none of the 1, such as x, is one of the 4 images"):
        report_predictions(out, submissions, sources=Sources(images=(other,)))
    with pytest.raises(ConfigError, match="at least one"):
        report_predictions(out, [])
    write_submission(tmp_path / "some.csv", [("b", read_train_csv(truth)["b"].masks)])
    with pytest.raises(SubmissionError, match="lacks 3 images"):
        report_predictions(out, [submissions[0], tmp_path / "some.csv"], truth=truth)
    assert not out.exists()


def test_two_pictures_of_one_image_are_refused(folder, submissions, tmp_path):
    train, other = folder / "train", tmp_path / "other"
    write_png(other / "b.png", np.zeros((90, 120), np.uint8))
    out, sources = tmp_path / "r.html", Sources(images=(train, train / "b.png", other))
    with pytest.raises(DataError, match=r"train/b\.png and .*other/b\.png are both image b"):
        report_predictions(out, submissions, sources=sources)


def test_pictures_that_are_missing_are_named(folder, submissions, tmp_path):
    result = report_predictions(
        tmp_path / "r.html",
        submissions,
        truth=folder / "train.csv",
        sources=Sources(images=(folder / "train",)),
    )
    assert any(r.startswith("2 images without a picture: </script>") for r in result.remarks)


def test_the_pages_colours_of_hits_and_misses_are_those_of_the_pictures():
    style = _read("style.css")
    for name, colour in (("hit", HIT), ("missed", MISSED), ("spurious", SPURIOUS)):
        assert f"--{name}: rgb({', '.join(map(str, colour))})" in style


def test_the_scripts_are_ascii_or_plain_text_and_end_no_element():
    for name in (*SCRIPTS, "style.css"):
        assert "</" not in _read(name)
        assert "\r" not in _read(name)
