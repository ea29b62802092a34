"""The result of inpainting: errors by mask ratio and layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from cavsync.evaluate.inpaint.measure import InpaintScores, Mask
from cavsync.evaluate.inputs.eval_clips import channels_in_words, segments_in_words
from cavsync.evaluate.results.intervals import share_of_clips
from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Picture, Plot, PlotCurve, Provenance, Table
from cavsync.media.resample import ChannelRule

UNITS = {
    "audio": "(log-mel + 5.081) / 4.4849: an error of 1 is the training set's variance",
    "visual": "RGB normalised by ImageNet's mean and spread: an error of 1 is about 58 of 255 levels, squared",
}
NORM_PIX_NOTE = (
    "The model predicts each patch minus its mean, divided by its standard deviation (norm_pix_loss). Both were taken "
    "from the original to undo that, in all figures, frames and audio, so the brightness and contrast of every hidden "
    "patch are known; the baseline knows the mean too."
)


def inpaint_result(
    scores: InpaintScores,
    masks: Sequence[Mask],
    provenance: Provenance,
    *,
    norm_pix_loss: bool,
    moments_per_clip: int,
    channels: ChannelRule | None,
    pictures: list[Picture] | None = None,
) -> EvalResult:
    """Make the result: metrics `MODALITY/LAYOUT/RATIO/mse` with intervals over clips, `baseline_mse`, and with
    norm_pix_loss `trained_mse`; a table and two plots. Rows: `clips`, their names, and the clips' errors by metric.

    channels: how several channels of the clips' audio became one. pictures: the examples that were written.
    """
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
        protocol=_protocol(masks, norm_pix_loss, moments_per_clip, channels),
        metrics=metrics,
        provenance=provenance,
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


def _protocol(
    masks: Sequence[Mask], norm_pix_loss: bool, moments_per_clip: int, channels: ChannelRule | None
) -> dict[str, Any]:
    return {
        "inputs": f"{moments_per_clip} moments per clip, evenly spread; audio padded if a clip is shorter",
        "segments": segments_in_words("by-time", moments_per_clip),
        "channels": channels_in_words(channels),
        "masks": "both modalities at once; drawn from (seed, clip, mask), the same for every model",
        "error": "mean squared error over hidden patches, mean over a clip's moments, then over clips",
        "units of sound": UNITS["audio"],
        "units of pictures": UNITS["visual"],
        "baseline": "each patch's own mean" if norm_pix_loss else "mean of the visible patches of the same input",
        "norm_pix_loss": norm_pix_loss,
        "layouts of the sound's mask": list(dict.fromkeys(mask.mode for mask in masks)),
        "ratios (sound / picture)": list(dict.fromkeys(f"{m.ratio_audio:g} / {m.ratio_visual:g}" for m in masks)),
    }


def _table(scores: InpaintScores, masks: Sequence[Mask], norm_pix_loss: bool) -> Table:
    columns = ["audio mask", "ratio", "audio MSE", "baseline", "frame MSE", "baseline"]
    if norm_pix_loss:
        columns += ["audio MSE, as trained", "frame MSE, as trained"]
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
    """Plot the error over the share of hidden patches, with a curve and a baseline per layout."""
    curves = []
    for mode in dict.fromkeys(mask.mode for mask in masks):
        keys = [(mask, modality) for mask in masks if mask.mode == mode and (mask, modality) in scores.errors]
        keys.sort(key=lambda key: scores.hidden_share[key])
        label = mode if modality == "audio" else f"audio mask: {mode}"
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
    kind = "Audio" if modality == "audio" else "Frames"
    return Plot(title=f"{kind}: error of hidden patches", x_label="share hidden", y_label="MSE", curves=curves)
