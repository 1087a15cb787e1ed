"""What a comparison found, as records: for the tables, for JSON and for the report."""

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
    """What it cost to give every pixel to one cell.

    Parameters
    ----------
    rule : str
        Name of the rule, one of `cellflow.inference.overlap_rules.RULES`.
    n_detections, n_overlapping, n_dropped : int
        Detections that reach the cutoffs, those that share pixels with another one, and those
        that the rule left out.
    pixels_lost : float
        Share of the kept cells' pixels that went to other cells, in [0, 1].
    score_before, score_after : float
        mAP with the overlaps as they were, and without them.
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
    """Least score and least area of the detections that count, chosen on folds.

    Parameters
    ----------
    per_cell_type : dict of str to (float, int)
        Score and area in pixels, chosen on all images: what one would use on new ones. The cell
        type "" stands for all types, and for images whose type is unknown.
    types_from : str
        Who told the images' cell types: "detections" or "truth".
    n_folds : int
    nested_score : float
        mAP when each fold is cut by what the other folds chose; it is what the comparison uses.
    same_images_score : float
        mAP when all images are cut by what they chose themselves: too high by selection.
    """

    per_cell_type: dict[str, tuple[float, int]]
    types_from: str
    n_folds: int
    nested_score: float
    same_images_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoPrecision:
    """COCO's average precision of masks, class ignored, overlaps and all scores as they are.

    Parameters
    ----------
    ap, ap50, ap75 : float
        Mean over IoU 0.50 … 0.95, and at single IoUs.
    max_detections : int
        Of an image that count; never fewer than an image has.
    has_scores : bool
        Whether detections carry scores; otherwise the precision is that of a single point.
    """

    ap: float
    ap50: float
    ap75: float
    max_detections: int
    has_scores: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One side of the comparison.

    Parameters
    ----------
    name : str
    kind : str
        What it was read from, in words: "submission", "COCO results", "label images" …
    n_detections : int
        On the images compared, before any rule or cutoff.
    has_scores : bool
    overlap : OverlapCost or None
        None when no detections overlap.
    cutoffs : TunedCutoffs or None
        None when there are no scores, or no tuning.
    coco : CocoPrecision or None
        None when not computed.
    """

    name: str
    kind: str
    n_detections: int
    has_scores: bool = False
    overlap: OverlapCost | None = None
    cutoffs: TunedCutoffs | None = None
    coco: CocoPrecision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBy:
    """How many true cells two methods find at one IoU threshold.

    Parameters
    ----------
    iou : float
        A cell is found when it is matched with IoU above.
    both, only_first, only_second, neither : int
        True cells, together all of them.
    """

    iou: float
    both: int
    only_first: int
    only_second: int
    neither: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """What one could reach with two methods, knowing the truth.

    Parameters
    ----------
    per_image : float
        mAP when each image is left to the one that does it better.
    per_cell : float
        mAP when every cell that either finds is a hit and every spurious one is known: recall of
        the two together.
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
        Share of the bootstrap draws with a positive difference, half of those with none.
    p_value : float
        Two-sided permutation test by flipping the sign of each image's, or cluster's, difference;
        of this pair by itself.
    p_corrected : float
        The same by Holm's rule for all pairs of the comparison.
    p_is_exact : bool
        Whether all flips were tried.
    smallest_visible : float
        Difference that this many images would show with 80 % power at the 5 % level, mAP; NaN
        when there are too few for an interval, infinity when they can show none.
    smallest_visible_with : dict of int to float
        The same for other numbers of such images.
    flip_chance : float
        Chance that the public and the private part of a hidden test set put the two in opposite
        order, if the difference is what it seems to be; see `cellflow.comparison.power`.
    found_by : dict of str to tuple of FoundBy
        True cells that both, one or neither find; by cell type, all of them under "all".
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
        """Whether interval and corrected p both speak against chance, at the 5 % level."""
        return is_beyond_chance(self.difference, self.p_corrected)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval does; never without one."""
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
        Of each method, in their order.
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
        How the slices were made and what their scores are.
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
        Mean over thresholds up to there of each method, in the methods' order.
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Scores of several methods on the same images, and all their paired differences.

    Parameters
    ----------
    methods : tuple of Method
    scores : tuple of Score
        Of each method; all are of the same images in the same order.
    pairs : tuple of PairedDifference
        Of every two methods, in the order given.
    breakdowns : tuple of Breakdown
    ranking : Ranking
    remarks : tuple of str
        What the reader must know: images left out, count ceilings, few images.
    hidden_images, public_share : int, float
        The hidden test set, and its public part, that the pairs' `flip_chance` is of.
    truths : mapping of image name to CellMasks
        Of the images compared.
    predicted : tuple of mapping of image name to CellMasks
        What was scored of each method: without overlap and, if tuned, cut. An image that is
        missing has no prediction.
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
        """Which method is best and how sure that is, in a sentence."""
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
