"""A fusion as text of at most 100 columns."""

from typing import TYPE_CHECKING

from cellflow.comparison.formatting import p_value, wrapped
from cellflow.comparison.power import is_beyond_chance
from cellflow.wording import counted

if TYPE_CHECKING:
    from cellflow.comparison.fuse import Fusion


def fusion_table(fusion: "Fusion") -> str:
    """Describe which methods were fused, by which rules, and the resulting scores."""
    gain, nested = fusion.gain, fusion.nested
    verdict = "not to be told apart from"
    if is_beyond_chance(gain, fusion.p_value):
        verdict = "better than" if gain.estimate > 0 else "worse than"
    best = max(fusion.rule_scores[""].values())
    width = max(len(rule) for rule in fusion.rule_scores[""])
    kinds = [*sorted(kind for kind in fusion.rule_scores if kind), ""]
    head = "".join(f"{kind or 'all':>9}" for kind in kinds)
    sentences = [
        f"Fused: mAP {nested.mean} on {counted(nested.overall.n_images, 'image')}, each fold by "
        f"what {fusion.n_folds - 1} others chose; {verdict} {fusion.best_alone} alone, by "
        f"{gain.signed()} paired, p {p_value(fusion.p_value)}.",
        f"By what was chosen on the same images it is {fusion.same_images_score:.3f}, too high by "
        "selection; the file is fused so.",
        *(
            f"{kind or 'other images'}: {rule}"
            for kind, rule in sorted(fusion.rules.items(), key=lambda one: (one[0] == "", one[0]))
        ),
        *(f"Note: {remark}." for remark in fusion.remarks),
    ]
    lines = [f"{'mean score of every rule':<{width}}{head}"]
    for rule, score in fusion.rule_scores[""].items():
        cells = "".join(f"{fusion.rule_scores[kind][rule]:9.3f}" for kind in kinds)
        lines.append(f"{rule:<{width}}{cells}" + ("  <" if score == best else ""))
    return "\n".join([*wrapped(sentences), "", *lines])
