"""The records of a comparison's result, for the tables, for JSON and for the report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cellflow.comparison.power import is_beyond_chance
from cellflow.comparison.tables import answer, comparison_table
from cellflow.interval import Interval
from cellflow.metrics.score import Score
from cellflow.records import CellMasks


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapCost:
    """What it costs to assign every pixel to at most one cell.

    Parameters
    ----------
    rule : str
        Name of the rule, one of `cellflow.inference.overlap_rules.RULES`.
    n_detections, n_overlapping, n_dropped : int
        Numbers of detections that reach the cutoffs, of those that share pixels with another one,
        and of those that the rule drops.
    pixels_lost : float
        Share of the kept cells' pixels that went to other cells, in [0, 1].
    score_before, score_after : float
        mAP with the original overlaps, and without overlaps.
    """

    rule: str
    n_detections: int
    n_overlapping: int
    n_dropped: int
    pixels_lost: float
    score_before: float
    score_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedCutoffs:
    """Minimum score and minimum area of detections, chosen on folds.

    Parameters
    ----------
    per_cell_type : dict of str to (float, int)
        Score and area in pixels, chosen on all images: the values to use on new images. The cell
        type "" stands for all types, and for images of unknown type.
    types_from : str
        Source of the images' cell types: "detections" or "truth".
    n_folds : int
    nested_score : float
        mAP if each fold is cut by what the other folds chose; the comparison uses this.
    same_images_score : float
        mAP if all images are cut by what was chosen on these images: too high through selection.
    """

    per_cell_type: dict[str, tuple[float, int]]
    types_from: str
    n_folds: int
    nested_score: float
    same_images_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoPrecision:
    """COCO's average precision of masks, ignoring classes; overlaps and scores as the method gave.

    Parameters
    ----------
    ap, ap50, ap75 : float
        Mean over IoU 0.50 … 0.95, and at IoU 0.50 and 0.75.
    max_detections : int
        Limit per image; never lower than the number of detections of any image.
    has_scores : bool
        Whether detections have scores; otherwise the precision-recall curve is a single point.
    """

    ap: float
    ap50: float
    ap75: float
    max_detections: int
    has_scores: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One of the compared methods.

    Parameters
    ----------
    name : str
    kind : str
        Kind of its files, in words: "submission", "COCO results", "label images" …
    n_detections : int
        On the images compared, before any rule or cutoff.
    has_scores : bool
    overlap : OverlapCost or None
        None if no detections overlap.
    cutoffs : TunedCutoffs or None
        None without scores or without tuning.
    coco : CocoPrecision or None
        None if not computed.
    """

    name: str
    kind: str
    n_detections: int
    has_scores: bool
    overlap: OverlapCost | None
    cutoffs: TunedCutoffs | None
    coco: CocoPrecision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBy:
    """How many true cells two methods find at one IoU threshold.

    Parameters
    ----------
    iou : float
        A true cell counts as found if it is matched with an IoU above this.
    both, only_first, only_second, neither : int
        Numbers of true cells; they add up to all of them.
    """

    iou: float
    both: int
    only_first: int
    only_second: int
    neither: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """The scores that an oracle, which knows the truth, reaches with two methods.

    Parameters
    ----------
    per_image : float
        mAP if the better method is used on each image.
    per_cell : float
        mAP if every cell that either method finds is kept and all spurious cells are dropped: the
        recall of both together.
    """

    per_image: float
    per_cell: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """How much better the first of two methods is.

    Parameters
    ----------
    first, second : str
    difference : Interval
        Mean over images of first minus second, in mAP.
    probability_first_better : float
        Share of the bootstrap draws with a positive difference, plus half of those with none.
    p_value : float
        Of a two-sided permutation test that flips the sign of each image's, or cluster's,
        difference; for this pair alone.
    p_corrected : float
        The same, corrected by Holm's rule for all pairs of the comparison.
    p_is_exact : bool
        Whether all flips were tried.
    smallest_visible : float
        Difference in mAP that these images would show with 80 % power at the 5 % level; NaN if
        there are too few for an interval, infinity if they cannot show any.
    smallest_visible_with : dict of int to float
        The same for other numbers of such images.
    flip_chance : float
        Chance that the public and the private part of a hidden test set rank the two in opposite
        order, if the measured difference is the true one; see `cellflow.comparison.power`.
    found_by : dict of str to tuple of FoundBy
        True cells that both, one or neither find, by cell type; the key "all" is for all cells.
    oracle : Oracle
    """

    first: str
    second: str
    difference: Interval
    probability_first_better: float
    p_value: float
    p_corrected: float
    p_is_exact: bool
    smallest_visible: float
    smallest_visible_with: dict[int, float]
    flip_chance: float
    found_by: dict[str, tuple[FoundBy, ...]]
    oracle: Oracle

    @property
    def is_beyond_chance(self) -> bool:
        """Whether both interval and corrected p rule out chance, at the 5 % level."""
        return is_beyond_chance(self.difference, self.p_corrected)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval excludes 0; False without an interval."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The comparison on some of the images, cells or thresholds.

    Parameters
    ----------
    label : str
        "cort", "IoU > 0.65", "37 to 210 px" …
    n_images, n_truths : int
    scores : tuple of Interval
        Of each method, in the order of `Comparison.methods`.
    differences : tuple of Interval
        Of each pair, in the order of `Comparison.pairs`.
    """

    label: str
    n_images: int
    n_truths: int
    scores: tuple[Interval, ...]
    differences: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The comparison slice by slice.

    Parameters
    ----------
    by : str
        "cell type", "IoU threshold", "cell size" or "density".
    note : str
        How the slices were formed, and what their scores mean.
    slices : tuple of Slice
    """

    by: str
    note: str
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The methods from best to worst, over all IoU thresholds and over the lower ones.

    Parameters
    ----------
    order : tuple of str
        By mAP.
    up_to : float
        The largest of the lower thresholds, 0.80.
    scores_up_to : tuple of Interval
        Mean over the thresholds up to `up_to`, of each method in their order.
    differences_up_to : tuple of Interval
        Of each pair.
    order_up_to : tuple of str
    """

    order: tuple[str, ...]
    up_to: float
    scores_up_to: tuple[Interval, ...]
    differences_up_to: tuple[Interval, ...]
    order_up_to: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether leaving out the higher thresholds changes the order."""
        return self.order != self.order_up_to


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Comparison:
    """Scores of several methods on the same images, and all their paired differences.

    Parameters
    ----------
    methods : tuple of Method
    scores : tuple of Score
        Of each method; all for the same images in the same order.
    pairs : tuple of PairedDifference
        Every pair of methods, in the order of `itertools.combinations`.
    breakdowns : tuple of Breakdown
    ranking : Ranking
    remarks : tuple of str
        What the reader must know: images left out, limits of detections, few images.
    hidden_images, public_share : int, float
        Size of the hidden test set and share of its public part, for `flip_chance`.
    truths : mapping of image name to CellMasks
        Of the compared images.
    predicted : tuple of mapping of image name to CellMasks
        The scored cells of each method: without overlap and, if tuned, cut. A missing image has no
        prediction.
    """

    methods: tuple[Method, ...]
    scores: tuple[Score, ...]
    pairs: tuple[PairedDifference, ...]
    breakdowns: tuple[Breakdown, ...]
    ranking: Ranking
    remarks: tuple[str, ...]
    hidden_images: int
    public_share: float
    truths: Mapping[str, CellMasks]
    predicted: tuple[Mapping[str, CellMasks], ...]

    def __repr__(self) -> str:
        return f"<Comparison: {self.answer}>"

    @property
    def names(self) -> tuple[str, ...]:
        """The methods' names, all different."""
        return tuple(method.name for method in self.methods)

    @property
    def leading_pair(self) -> PairedDifference:
        """The pair of the best and the second-best method."""
        leaders = set(self.ranking.order[:2])
        return next(pair for pair in self.pairs if {pair.first, pair.second} == leaders)

    @property
    def answer(self) -> str:
        """Which method is best and how certain that is, in a sentence."""
        return answer(self)

    def table(self) -> str:
        """Give the comparison as text: the answer, then tables."""
        return comparison_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Give the comparison as plain values, for JSON."""
        scores = zip(self.names, self.scores, strict=True)
        return {
            "answer": self.answer,
            "methods": [asdict(method) for method in self.methods],
            "scores": {name: score.to_dict() for name, score in scores},
            "pairs": [asdict(pair) for pair in self.pairs],
            "breakdowns": [asdict(breakdown) for breakdown in self.breakdowns],
            "ranking": {**asdict(self.ranking), "changes": self.ranking.changes},
            "hidden_images": self.hidden_images,
            "public_share": self.public_share,
            "remarks": list(self.remarks),
        }
