"""The result of `cellflow tune` as text of at most 100 columns."""

import math
from typing import TYPE_CHECKING

from cellflow.diagnosis.boundary_bias import BoundaryBias
from cellflow.network.thresholds import CellSettings

if TYPE_CHECKING:
    from cellflow.tuning.result import TuneResult, TypeResult


def tune_table(result: "TuneResult") -> str:
    """Give scores, settings, boundary bias, reliability and remarks."""
    rows = result.types
    width = max(9, *map(len, rows))
    lines = [
        f"{'cell type':<{width}}  images  in use  tuned on itself  honest  95 % interval   "
        "honest - in use",
        *(f"{name:<{width}}  {_scores(one)}" for name, one in rows.items()),
        "",
        f"{'cell type':<{width}}  cellprob   flow  min size  score  shift  diameter  verdict",
        *(f"{name:<{width}}  {_settings(one)}" for name, one in rows.items()),
        "",
        f"{'cell type':<{width}}  boundary outside the truth, px: in use, honest, spread of cells",
        *(f"{name:<{width}}  {_bias(one)}" for name, one in rows.items()),
        "",
        _confidence(result),
    ]
    if result.told:
        lines.append(
            "cell type predicted from the image: "
            + ", ".join(
                f"{share:.0%} {name.replace('_', ' ')}" for name, share in result.told.items()
            )
        )
    lines += ["", f"{result.n_settings} combinations tried.", *(f"{r}." for r in result.remarks)]
    return "\n".join(lines)


def _confidence(result: "TuneResult") -> str:
    raw, calibrated = result.raw, result.calibrated
    if result.obstacle:
        return f"confidence not calibrated: {result.obstacle}".replace("; ", ";\n")
    return (
        f"confidence of {calibrated.n_cells} cells, measured on images it was not calibrated on: "
        f"calibration error {raw.calibration_error:.3f}\n"
        f"before and {calibrated.calibration_error:.3f} after, Brier {raw.brier:.3f} and "
        f"{calibrated.brier:.3f}, AUC {raw.auc:.3f} and {calibrated.auc:.3f}: "
        + ("taken" if result.is_calibration_taken else "not taken")
    )


def _scores(one: "TypeResult") -> str:
    return (
        f"{one.n_images:6d}   {one.default.estimate:.3f}            {one.itself.estimate:.3f}   "
        f"{one.nested.estimate:.3f}  {one.nested.bounds():<14}  "
        f"{one.gain.estimate:+.3f} ({one.gain.bounds('+.3f')})"
    )


def _settings(one: "TypeResult") -> str:
    chosen: CellSettings = one.settings
    diameter = "model's" if one.diameter_factor == 1 else f"x {one.diameter_factor:g}"
    flow = "none" if chosen.flow_threshold == 0 else f"{chosen.flow_threshold:.2f}"
    return (
        f"{chosen.cellprob_threshold:8.2f}  {flow:>5}  {chosen.min_size:8d}  "
        f"{chosen.score_threshold:5.2f}  {chosen.boundary_shift:+5.2f}  {diameter:>8}  "
        + _verdict(one)
    )


def _verdict(one: "TypeResult") -> str:
    verdict = one.verdict
    if verdict is None:
        return "too few images, uses all"
    gain = f"{verdict.gain:+.3f}"
    if not math.isnan(verdict.error):
        gain += f" ± {verdict.error:.3f}"
    return f"own settings {gain}, {'taken' if verdict.is_kept else 'not taken'}"


def _bias(one: "TypeResult") -> str:
    before, after = (_offset(bias) for bias in (one.bias_before, one.bias_after))
    spread = f"{one.bias_after.spread:.2f}" if one.bias_after.n_cells else "no spread"
    return f"{before}, {after}, {spread}"


def _offset(bias: BoundaryBias) -> str:
    if bias.n_cells == 0:
        return "no cell"
    return f"{bias.offset.estimate:+.2f} ({bias.offset.bounds('+.2f')})"
