"""What inpainting says: errors by mask ratio and layout, as a result of the common form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from cavsync.evaluate.inpaint.measure import InpaintScores, Mask
from cavsync.evaluate.results.intervals import share_of_clips
from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Picture, Plot, PlotCurve, Provenance, Table

UNITS = {
    "audio": "log-mel less -5.081, over 4.4849: an error of 1 is a spread of the training set",
    "visual": "RGB by ImageNet's means and spreads: an error of 1 is about 58 of 255 levels, squared",
}
NORM_PIX_NOTE = (
    "The model predicts each patch less its mean and over its spread (norm_pix_loss): both were taken from the "
    "original to undo that, in the figures, the frames and the sounds. Brightness and contrast of every hidden patch "
    "are given away; the baseline knows the mean too."
)


def inpaint_result(
    scores: InpaintScores,
    masks: Sequence[Mask],
    made_of: Provenance,
    *,
    norm_pix_loss: bool,
    moments_per_clip: int,
    pictures: list[Picture] | None = None,
) -> EvalResult:
    """Metrics `MODALITY/LAYOUT/RATIO/mse` with intervals over clips, and `baseline_mse`, with norm_pix_loss also
    `trained_mse`; a table and two plots. Rows: `clips`, their names, and under each metric's name their errors."""
    metrics, rows = {}, dict[str, JsonValue](clips=[*scores.names])
    for (mask, modality), errors in scores.errors.items():
        name = f"{modality}/{_layout(mask, modality)}/{_ratio(mask, modality):g}"
        name += f"/beside-{mask.mode}" if modality == "visual" else ""
        figures = {"mse": "model", "baseline_mse": "baseline"} | ({"trained_mse": "trained"} if norm_pix_loss else {})
        for figure, kind in figures.items():
            metrics[f"{name}/{figure}"] = _mean(errors[kind])
            rows[f"{name}/{figure}"] = [*errors[kind]]
    return EvalResult(
        task="inpaint",
        protocol=_protocol(masks, norm_pix_loss, moments_per_clip),
        metrics=metrics,
        provenance=made_of,
        tables=[_table(scores, masks, norm_pix_loss)],
        plots=[_plot(scores, masks, modality) for modality in ("audio", "visual")],
        pictures=pictures or [],
        rejects=scores.rejects,
        notes=[NORM_PIX_NOTE] if norm_pix_loss else [],
        rows=rows,
    )


def _mean(values: Sequence[float]) -> Metric:
    found = share_of_clips(values)
    return Metric(value=found.mean, low=found.low, high=found.high, better="lower", count=found.clips)


def _layout(mask: Mask, modality: str) -> str:
    return mask.mode if modality == "audio" else "unstructured"


def _ratio(mask: Mask, modality: str) -> float:
    return mask.ratio_audio if modality == "audio" else mask.ratio_visual


def _protocol(masks: Sequence[Mask], norm_pix_loss: bool, moments_per_clip: int) -> dict[str, Any]:
    return {
        "inputs": f"{moments_per_clip} moments per clip, evenly spread; audio padded where a clip is shorter",
        "masks": "both modalities at once; drawn from (seed, clip, mask), the same for every model",
        "error": "mean squared error over hidden patches, mean over a clip's moments, then over clips",
        "units of audio": UNITS["audio"],
        "units of frames": UNITS["visual"],
        "baseline": "each patch's own mean" if norm_pix_loss else "mean of the visible patches of the same input",
        "norm_pix_loss": norm_pix_loss,
        "layouts of the audio's mask": list(dict.fromkeys(mask.mode for mask in masks)),
        "ratios (audio / frame)": list(dict.fromkeys(f"{m.ratio_audio:g} / {m.ratio_visual:g}" for m in masks)),
    }


def _table(scores: InpaintScores, masks: Sequence[Mask], norm_pix_loss: bool) -> Table:
    columns = ["audio's mask", "ratio", "audio, MSE", "baseline", "frame, MSE", "baseline"]
    if norm_pix_loss:
        columns += ["audio, as trained", "frame, as trained"]
    rows: list[list[Cell]] = []
    for mask in masks:
        found = [scores.errors.get((mask, modality)) for modality in ("audio", "visual")]
        row: list[Cell] = [mask.mode, f"{mask.ratio_audio:g} / {mask.ratio_visual:g}"]
        for part in found:
            row += [_mean(part["model"]), Metric(value=_mean(part["baseline"]).value)] if part else [None, None]
        row += [_mean(part["trained"]) if part else None for part in found if norm_pix_loss]
        rows.append(row)
    return Table(title=f"inpainting {len(scores.names)} clips", columns=columns, rows=rows)


def _plot(scores: InpaintScores, masks: Sequence[Mask], modality: str) -> Plot:
    """Error over the share that is really hidden, a curve per layout, and the baseline of each."""
    curves = []
    for mode in dict.fromkeys(mask.mode for mask in masks):
        keys = [(mask, modality) for mask in masks if mask.mode == mode and (mask, modality) in scores.errors]
        keys.sort(key=lambda key: scores.hidden_share[key])
        label = mode if modality == "audio" else f"audio's mask: {mode}"
        for name, title in (("model", label), ("baseline", f"{label}, baseline")):
            metrics = [_mean(scores.errors[key][name]) for key in keys]
            curves.append(
                PlotCurve(
                    label=title,
                    x=[scores.hidden_share[key] for key in keys],
                    y=[metric.value for metric in metrics],
                    low=[metric.low for metric in metrics] if name == "model" else None,
                    high=[metric.high for metric in metrics] if name == "model" else None,
                )
            )
    kind = "Sound" if modality == "audio" else "Picture"
    return Plot(title=f"{kind}: error of hidden patches", x_label="share hidden", y_label="MSE", curves=curves)
