"""The configuration of one model: CAV-MAE Sync, CAV-MAE, and everything between them.

Options of the public implementations keep their names. The defaults are the
released CAV-MAE Sync (arXiv 2505.01237): 190.66 M parameters.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from cavsync.errors import ConfigError

NUM_MEL_BINS = 128

MaskMode = Literal["unstructured", "time", "frequency", "time-frequency"]
PatchGrid = tuple[int, int]
Positive = Annotated[int, Field(ge=1, le=1 << 16)]
Depth = Annotated[int, Field(ge=0, le=1000)]
MAX_TOKEN_VALUES = 1 << 28
"""Numbers in the tokens of one input: a configuration of a stranger may not take all memory."""
Ratio = Annotated[float, Field(ge=0.0, lt=1.0)]


class ModelOptions(BaseModel):
    """Base of the models' configurations: immutable; a value out of range is a ConfigError of one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise ConfigError(_sentence(error, list(cls.model_fields))) from error


class ModelConfig(ModelOptions):
    """Sizes and options of the model; immutable. Raises ConfigError for a value out of range."""

    audio_length: Positive = 416
    """Log-mel frames of 10 ms in one segment; a multiple of patch_size."""
    img_size: Positive = 224
    """Height and width of a frame in pixels; a multiple of patch_size."""
    patch_size: Positive = 16
    """Side of a patch, in pixels of a frame and in bins and frames of the log-mel."""
    in_chans: Literal[3] = 3
    """Colour channels of a frame."""

    embed_dim: Positive = 768
    """Width of the tokens and of the embedding; a multiple of num_heads."""
    num_heads: Positive = 12
    """Attention heads of each block."""
    modality_specific_depth: Depth = 11
    """Number of blocks for the audio alone, and of blocks for the frames alone."""
    depth: Annotated[Depth, Field(ge=1)] = 12
    """Blocks that a token passes: modality-specific ones, then `depth - modality_specific_depth` joint ones."""
    mlp_ratio: Annotated[float, Field(gt=0.0, le=64.0)] = 4.0
    """Width of the hidden layer of each block, in multiples of embed_dim."""
    chain_joint_blocks: bool = False
    """Contrastive streams with several joint blocks: True feeds each block's output to the next. False, as in the
    public Sync code: each block is applied to the streams' input, so only the last one counts."""

    num_register_tokens: Annotated[int, Field(ge=0, le=1 << 16)] = 8
    """Register tokens per modality."""
    keep_register_tokens: bool = False
    """Registers go through the joint blocks too; they are never part of the features."""
    cls_token: bool = True
    """One global token per modality; without it the pooled vector is the mean of the patch tokens."""
    contrastive_heads: bool = False
    """Two more blocks per modality on the contrastive streams."""
    max_pooling: bool = False
    """Without a global token, the pooled vector is the maximum of the patch tokens, channel by channel, so that
    one small moving object counts wherever it is."""
    conv_stem: bool = False
    """Patch vectors come from a few stride-2 convolutions instead of one linear projection."""
    tr_pos: bool = False
    """Position tables are trained."""

    num_frames: Positive = 1
    """Consecutive frames in one visual input (a tubelet)."""
    frame_differences: bool = False
    """Embed a tubelet as its middle frame and the differences between neighbours, amplified: the same information, but
    motion is not hidden by the still frame, so small models learn it in minutes."""
    pair_stem: bool = False
    """Each pair of successive frames passes the convolutional stem once, in grey with its difference, whatever tubelets
    it belongs to, and one linear layer joins the pairs of a tubelet: a stream costs one pass per frame."""
    frame_step_seconds: Annotated[float, Field(gt=0.0)] = 0.04
    """Spacing of a tubelet's frames; used by the data pipeline, not by the model."""

    has_decoder: bool = True
    """Whether a decoder reconstructs the hidden patches."""
    decoder_embed_dim: Positive = 512
    """Width of the decoder's tokens."""
    decoder_depth: Annotated[Depth, Field(ge=1)] = 8
    """Blocks of the decoder."""
    decoder_num_heads: Positive = 16
    """Attention heads of each block of the decoder."""
    norm_pix_loss: bool = False
    """Reconstruct each patch normalised by its own mean and variance."""

    global_local_losses: bool = False
    """Contrast the global tokens and the means of the patch tokens, half each."""
    bidirectional_contrast: bool = False
    """Softmax over the frames for each audio too, half each."""
    contrastive_temperature: Annotated[float, Field(gt=0.0)] = 0.05
    """Divides the similarities before the softmax; its first value if it is learned."""
    learnable_temperature: bool = False
    """Whether the temperature is trained."""

    mask_mode_audio: MaskMode = "unstructured"
    """Which audio patches are hidden: any, or whole steps of time, frequency bands, or both."""
    mask_mode_visual: Literal["unstructured"] = "unstructured"
    """Which frame patches are hidden: any."""
    multi_ratio_masking: bool = False
    """Each pretraining forward draws its own mask ratios, one per modality, and ignores those passed to it."""
    mask_ratio_range: tuple[Ratio, Ratio] = (0.6, 0.9)
    """Range that multi_ratio_masking draws from, uniformly."""
    mask_ratio_choices: tuple[Ratio, ...] | None = None
    """Ratios that multi_ratio_masking draws from instead of the range."""

    @property
    def audio_grid(self) -> PatchGrid:
        """Token grid of the log-mel: (frequency, time), frequency-major."""
        return NUM_MEL_BINS // self.patch_size, self.audio_length // self.patch_size

    @property
    def visual_grid(self) -> PatchGrid:
        """Token grid of a frame: (rows, columns)."""
        side = self.img_size // self.patch_size
        return side, side

    @property
    def visual_channels(self) -> int:
        """Channels of a visual input with its frames stacked."""
        return self.in_chans * self.num_frames

    @property
    def joint_depth(self) -> int:
        """Number of joint blocks."""
        return self.depth - self.modality_specific_depth

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_sizes(self)
        _require_memory(self)
        _require_widths(self)
        _require_options(self)
        return self


def _sentence(error: ValidationError, known: list[str]) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "configuration"
    if first["type"] == "extra_forbidden":
        return f"Unknown model option '{name}': expected one of {', '.join(known)}."
    return f"Model option '{name}' is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}, change it."


def _require_sizes(config: ModelConfig) -> None:
    patch = config.patch_size
    for name, size in (("audio_length", config.audio_length), ("img_size", config.img_size)):
        if size % patch:
            near = max(patch, round(size / patch) * patch)
            raise ConfigError(
                f"{name} is {size}, which is not a multiple of patch_size {patch}: use {near}, for example."
            )
    if NUM_MEL_BINS % patch:
        raise ConfigError(f"patch_size is {patch}, but it must divide the {NUM_MEL_BINS} mel bins: use 8, 16 or 32.")


def _require_memory(config: ModelConfig) -> None:
    for name, (rows, columns) in (("audio_length", config.audio_grid), ("img_size", config.visual_grid)):
        for width in ("embed_dim", "decoder_embed_dim"):
            if rows * columns * getattr(config, width) > MAX_TOKEN_VALUES:
                raise ConfigError(
                    f"{name} and patch_size make {rows * columns} tokens of {width} {getattr(config, width)}: at most "
                    f"{MAX_TOKEN_VALUES} numbers in all are possible, lower one of them."
                )


def _require_widths(config: ModelConfig) -> None:
    widths = [("embed_dim", config.embed_dim, "num_heads", config.num_heads)]
    if config.has_decoder:
        widths.append(("decoder_embed_dim", config.decoder_embed_dim, "decoder_num_heads", config.decoder_num_heads))
    for dim_name, dim, heads_name, heads in widths:
        if dim % heads:
            raise ConfigError(
                f"{dim_name} {dim} is not a multiple of {heads_name} {heads}: set {heads_name} to a divisor."
            )
        if dim % 4:
            raise ConfigError(
                f"{dim_name} is {dim}, but 2-D sin-cos positions need a multiple of 4: change {dim_name}."
            )


def _require_options(config: ModelConfig) -> None:
    if config.joint_depth < 1:
        raise ConfigError(
            f"modality_specific_depth {config.modality_specific_depth} leaves no joint block in a depth of "
            f"{config.depth}: lower it or raise depth."
        )
    if config.global_local_losses and not config.cls_token:
        raise ConfigError(
            "global_local_losses needs a global token: set cls_token to true, or global_local_losses to false."
        )
    if config.frame_differences and config.num_frames == 1:
        raise ConfigError("frame_differences needs a tubelet, but num_frames is 1: raise it, or set the option false.")
    if config.pair_stem and (config.num_frames == 1 or not config.conv_stem or config.frame_differences):
        raise ConfigError(
            "pair_stem is a convolutional stem for tubelets that forms the differences itself: set num_frames above 1, "
            "conv_stem to true and frame_differences to false."
        )
    if config.pair_stem and config.has_decoder:
        raise ConfigError("pair_stem has no frames for a decoder to compare with: set has_decoder to false.")
    if config.conv_stem and config.patch_size & (config.patch_size - 1):
        raise ConfigError(
            f"conv_stem halves the frame step by step, but patch_size is {config.patch_size}: use 8 or 16."
        )
    if config.max_pooling and config.cls_token:
        raise ConfigError("max_pooling has no effect with a global token: set cls_token or max_pooling to false.")
    low, high = config.mask_ratio_range
    if low > high:
        raise ConfigError(f"mask_ratio_range is ({low}, {high}), but the lower end comes first: swap the two.")
    if config.mask_ratio_choices is not None and not config.mask_ratio_choices:
        raise ConfigError("mask_ratio_choices is empty, but a ratio must be drawn from it: name one, or leave it out.")


CAV_MAE_SYNC = ModelConfig()
"""The released CAV-MAE Sync."""

CAV_MAE = ModelConfig(audio_length=1024, num_register_tokens=0, cls_token=False)
"""The original CAV-MAE (arXiv 2210.07839): ten seconds of audio, one frame, no extra tokens."""
