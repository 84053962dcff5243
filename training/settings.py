# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training configuration may say: one class per section, each field with its range. No torch here.

Everything is counted in clips seen, so that other batch sizes or more processes leave the meaning as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Folder = Annotated[Path, Field(strict=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
# Lengths of averages are relative standard deviations of their profile; 0.289 is the flat one, over everything.
EmaLength = Annotated[float, Field(ge=0.005, le=0.28)]


class Settings(BaseModel):
    """A section: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DataSettings(Settings):
    """`[data]`: the clips, and how they are streamed.

    Attributes:
        clips: dataset folders of `puppet-master data render`.
        lanes: independent streams that the samples are dealt from in turn. Processes and workers share them out, so it
            is a multiple of processes x workers; the order of samples depends on it, and not on those.
        workers: processes that read ahead, for each training process; 0 reads in the training process itself.
        buffer: samples, over all lanes, among which is shuffled; shards are shuffled besides.
    """

    clips: list[Folder] = Field(default=[], min_length=0)
    lanes: Count = 8
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    buffer: Count = 1024


class LogSettings(Settings):
    """`[log]`: what is written besides `stats.jsonl`.

    Attributes:
        tensorboard: also write TensorBoard events, to the run's folder `tensorboard`.
        wandb: project of Weights & Biases to write to (needs the package wandb); empty for none.
    """

    tensorboard: bool = True
    wandb: str = ""


class ViewSettings(Settings):
    """How a clip is seen: what may change without changing what moves.

    Attributes:
        white: share of views on white; the others are on a random colour.
        flip, reverse: share of views mirrored, and played backwards.
        zoom: the window's size relative to the object's extent, at least and at most.
        shift: how far the window's middle may lie from the object's, in image sides.
        recolour: share of views with the colour channels in another order.
        gain: the colour channels' brightness factors lie within 1 - gain and 1 + gain.
        frames: length of a view in frames; 0 for the whole clip. Longer clips are seen at random strides.
    """

    white: Share = 0.65
    flip: Share = 0.5
    reverse: Share = 0.5
    zoom: Pair = [0.95, 1.5]
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.08
    recolour: Share = 0.5
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.2
    frames: Annotated[int, Field(ge=0)] = 0


class TrainingSettings(Settings):
    """What all trained stages have in common.

    Attributes:
        clips: how many to see.
        batch: clips a step, over all processes.
        accumulate: parts in which a process takes its share of a batch; more parts need less memory.
        lr: peak learning rate.
        warmup: clips over which it rises.
        decay: how it falls from there to `final_lr` at the end.
        final_lr: learning rate at the end, where `decay` is not constant.
        betas, weight_decay: AdamW's.
        clip_norm: largest norm of the gradients.
        precision: bf16 computes under autocast; weights and averages stay float32.
        compile: compile the networks with torch.compile.
        checkpointing: compute activations anew in the backward pass instead of keeping them.
        sharding: "ddp" keeps the whole model in each process, "fsdp" shares out weights, gradients and optimizer.
        ema: lengths of the two averages of the weights, as relative standard deviations of their profile.
        log_every, save_every, samples_every, snapshot_every: clips between lines of statistics, checkpoints, sample
            grids (0: none) and snapshots of the averages (0: 20 over the run).
    """

    clips: Count
    batch: Count = 16
    accumulate: Count = 1
    lr: Positive = 1e-4
    warmup: Annotated[int, Field(ge=0)] = 0
    decay: Literal["constant", "linear", "cosine"] = "constant"
    final_lr: Annotated[float, Field(ge=0)] = 0.0
    betas: Pair = [0.9, 0.98]
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Positive = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    checkpointing: bool = False
    sharding: Literal["ddp", "fsdp"] = "ddp"
    ema: Annotated[list[EmaLength], Field(min_length=2, max_length=2)] = [0.05, 0.10]
    log_every: Count = 800
    save_every: Count = 4000
    samples_every: Annotated[int, Field(ge=0)] = 20000
    snapshot_every: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _fits(self) -> TrainingSettings:
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} is no multiple of accumulate {self.accumulate}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {self.betas} must lie in [0, 1)")
        if self.ema[0] == self.ema[1]:
            raise ValueError(f"ema {self.ema} must be two different lengths")
        return self


class VaeSettings(TrainingSettings):
    """`[vae]`: the small VAE, trained on single frames.

    Attributes:
        block_out_channels: channels of each level; each four times the one before, so that every downsampling can
            pass all it gets on.
        encoder_layers, decoder_layers: residual blocks of each level.
        latent_channels: of the latents.
        size: side of the frames in pixels.
        frames: frames taken of each clip.
        gradient_weight: of the loss on differences of neighbouring pixels.
        views: how the clips are seen.
    """

    clips: Count = 2000
    batch: Count = 4
    lr: Positive = 4e-4
    warmup: Annotated[int, Field(ge=0)] = 200
    decay: Literal["constant", "linear", "cosine"] = "cosine"
    betas: Pair = [0.9, 0.99]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    log_every: Count = 100
    save_every: Count = 1000
    samples_every: Annotated[int, Field(ge=0)] = 1000
    block_out_channels: list[Count] = [4, 16, 64, 256]
    encoder_layers: list[Count] = [1, 1, 1, 1]
    decoder_layers: list[Count] = [1, 2, 2, 1]
    latent_channels: Count = 4
    size: Count = 128
    frames: Count = 1
    gradient_weight: Annotated[float, Field(ge=0)] = 0.5
    views: ViewSettings = ViewSettings()

    @model_validator(mode="after")
    def _levels_fit(self) -> VaeSettings:
        levels = len(self.block_out_channels)
        for name in ("encoder_layers", "decoder_layers"):
            if len(getattr(self, name)) != levels:
                raise ValueError(f"{name} {getattr(self, name)} must have {levels} entries, one per level")
        if self.size % 2 ** (levels - 1):
            raise ValueError(f"size {self.size} is no multiple of {2 ** (levels - 1)}, which {levels} levels need")
        return self


class MotionSettings(TrainingSettings):
    """`[motion]`: the motion field.

    Attributes:
        init: model folder of a motion field to start from; its sizes are taken. Empty for random weights.
        size: side of the stills in pixels.
        slots: drags at most.
        channels: of each level of the network, from half the size downwards; multiples of 8.
        key_times: moments at which a drag's path is read.
        token_channels: width of a drag's token.
        embedding_channels: width in which pixels and drags are compared.
        frames: of a clip that a sample learns from, the last among them; 0 for all. Few take an eighth less time.
        drop_drags: share of samples without drags, in which nothing moves.
        resting_weight, around_weight: of the distance over pixels of the object that rest, and over the background.
        bending_weight: of how much more a moving surface bends than it should, from pixel to pixel.
        depth_weight, parts_weight: of the depths, and of which pixels belong to a drag that moves.
        views: how the stills are seen.
    """

    clips: Count = 200_000
    batch: Count = 16
    lr: Positive = 1e-3
    warmup: Annotated[int, Field(ge=0)] = 3200
    decay: Literal["constant", "linear", "cosine"] = "cosine"
    betas: Pair = [0.9, 0.98]
    samples_every: Annotated[int, Field(ge=0)] = 8000
    init: Folder | None = None
    size: Annotated[int, Field(ge=16, multiple_of=16)] = 128
    slots: Count = 8
    channels: list[Annotated[int, Field(ge=8, multiple_of=8)]] = [32, 48, 96, 160]
    key_times: Count = 13
    token_channels: Count = 64
    embedding_channels: Count = 24
    frames: Annotated[int, Field(ge=0)] = 4
    drop_drags: Share = 0.04
    resting_weight: Annotated[float, Field(ge=0)] = 0.6
    around_weight: Annotated[float, Field(ge=0)] = 0.3
    bending_weight: Annotated[float, Field(ge=0)] = 3.0
    depth_weight: Annotated[float, Field(ge=0)] = 0.3
    parts_weight: Annotated[float, Field(ge=0)] = 0.15
    views: ViewSettings = ViewSettings(reverse=0.0, zoom=[1.0, 1.7], gain=0.25)

    @model_validator(mode="after")
    def _levels_fit(self) -> MotionSettings:
        if self.size % 2 ** len(self.channels):
            raise ValueError(f"size {self.size} is no multiple of {2 ** len(self.channels)}, which the levels need")
        return self


class LatentSettings(Settings):
    """`[latents]`: the cache of encoded clips.

    Attributes:
        vae: folder of the VAE; empty for the one that the stage `vae` trained.
        count: random views of each clip.
        size: side of the frames in pixels.
        still_size: side of the stills kept for the image encoder.
        seed: with a clip's name it determines its views.
        views: how the clips are seen.
    """

    vae: Folder | None = None
    count: Count = 4
    size: Count = 128
    still_size: Count = 64
    seed: Annotated[int, Field(ge=0)] = 5
    views: ViewSettings = ViewSettings()


class UnetSettings(Settings):
    """`[diffusion.unet]`: arguments of `DragSpatioTemporalUNet`, see there."""

    block_out_channels: list[Count] = [32, 96, 128]
    num_attention_heads: list[Count] = [2, 3, 4]
    layers_per_block: Count = 1
    cross_attention_dim: Count = 64
    transformer_layers_per_block: Count = 1
    num_drags: Count = 8
    num_frames: Count = 14
    norm_num_groups: Count = 8
    pos_embed_dim: Annotated[int, Field(ge=4, multiple_of=4)] = 16
    drag_embedder_out_channels: list[Count] = Field(default=[24, 24], min_length=1)
    drag_token_cross_attn: bool = True
    drag_token_gate: bool = False
    drag_end_location: bool = True
    drag_scale: bool = True
    all_to_first: bool = True
    dense_bandwidths: list[Positive] = [0.04, 0.12, 0.36]
    carry_bandwidths: list[Positive] = [0.12, 0.36]

    @model_validator(mode="after")
    def _sizes_fit(self) -> UnetSettings:
        if len(self.num_attention_heads) != len(self.block_out_channels):
            raise ValueError(f"num_attention_heads {self.num_attention_heads} must have one entry per level of "
                             f"block_out_channels {self.block_out_channels}")  # fmt: skip
        for channels, heads in zip(self.block_out_channels, self.num_attention_heads, strict=True):
            if channels % heads:
                raise ValueError(f"{channels} channels cannot be shared out to {heads} attention heads")
            if channels % 32:
                raise ValueError(f"block_out_channels {self.block_out_channels} must be multiples of 32")
            if channels % self.norm_num_groups:
                raise ValueError(f"norm_num_groups {self.norm_num_groups} does not divide {channels} channels")
        return self


class EncoderSettings(Settings):
    """`[diffusion.encoder]`: arguments of the small image encoder's `CLIPVisionConfig`."""

    hidden_size: Count = 64
    intermediate_size: Count = 128
    num_hidden_layers: Count = 2
    num_attention_heads: Count = 2
    image_size: Count = 64
    patch_size: Count = 8

    @model_validator(mode="after")
    def _sizes_fit(self) -> EncoderSettings:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of its {self.num_attention_heads} heads")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is no multiple of patch_size {self.patch_size}")
        return self


class MixtureSettings(Settings):
    """What samples are made of a clip.

    Attributes:
        frames: frames of each sample; frame 0 is always kept.
        pick: "random" takes any others, "stride" equally spaced ones at a random stride.
        drop_condition: share of samples whose still, embedding and drags are all zeroed, as in the unconditional
            branch of sampling.
        still_clips: share of samples in which nothing is asked to move and nothing moves.
        further_drags: chances, one of them drawn per sample, of each drag beyond a moving part's first.
        straighten: share of drags replaced by straight lines at constant speed.
        pins: chance of each of two pins on still points.
    """

    frames: Annotated[int, Field(ge=2)] = 5
    pick: Literal["random", "stride"] = "random"
    drop_condition: Share = 0.05
    still_clips: Share = 0.06
    further_drags: Annotated[list[Share], Field(min_length=1)] = [0.0, 0.25, 0.8]
    straighten: Share = 0.5
    pins: Share = 0.3


class DiffusionSettings(TrainingSettings):
    """`[diffusion]`: the drag-conditioned diffusion model.

    Attributes:
        latents: folder of the cache; empty for what the stage `latents` made.
        init: folder to start from: Stable Video Diffusion's, or a model of ours; empty for random weights.
        target: diffuse the "residual" to the still's latents, or the "latents" themselves (SVD).
        log_sigma: mean and standard deviation of the log noise level.
        weighting: "published" counts the prediction's error the same at every noise level, "learned" divides it by
            an uncertainty learned along (Karras et al. 2024, eq. 22).
        train_encoder: train the image encoder along.
        mixture: what samples are made of a clip.
        unet, encoder: the networks' sizes; with `init` those of that folder are taken, and of `unet` the fields
            that concern drags alone.
    """

    clips: Count = 20000
    latents: Folder | None = None
    init: Folder | None = None
    target: Literal["residual", "latents"] = "residual"
    log_sigma: Pair = [0.7, 1.6]
    weighting: Literal["published", "learned"] = "published"
    train_encoder: bool = True
    mixture: MixtureSettings = MixtureSettings()
    unet: UnetSettings = UnetSettings()
    encoder: EncoderSettings = EncoderSettings()

    @model_validator(mode="after")
    def _spread_is_positive(self) -> DiffusionSettings:
        if self.log_sigma[1] <= 0:
            raise ValueError(f"log_sigma {self.log_sigma}: the standard deviation must be positive")
        if self.mixture.frames > self.unet.num_frames:
            raise ValueError(f"mixture.frames {self.mixture.frames} is more than num_frames {self.unet.num_frames}")
        return self


class DistillSettings(TrainingSettings):
    """`[distill]`: a student that needs a few steps and no guidance.

    Attributes:
        teacher: run folder of the stage `diffusion`, or of `distill` for another round; empty for this run's own.
        teacher_ema: which average of the teacher's weights is taken.
        latents: folder of the cache; empty for what the stage `latents` made.
        steps: sampling steps of the student.
        substeps: steps of the teacher for each of the student's.
        sigma_min, sigma_max: range of the noise levels that sampling passes.
        guidance: of the teacher, at the first and the last frame.
        mixture: what samples are made of a clip.
    """

    clips: Count = 8000
    teacher: Folder | None = None
    teacher_ema: EmaLength = 0.10
    latents: Folder | None = None
    steps: Count = 4
    substeps: Annotated[int, Field(ge=2)] = 4
    sigma_min: Positive = 0.05
    sigma_max: Positive = 80.0
    guidance: Pair = [1.0, 3.0]
    mixture: MixtureSettings = MixtureSettings(drop_condition=0.0)

    @model_validator(mode="after")
    def _range_is_one(self) -> DistillSettings:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} must be below sigma_max {self.sigma_max}")
        if self.mixture.drop_condition:
            raise ValueError("mixture.drop_condition must be 0: the student is sampled without guidance")
        return self


class PublishSettings(Settings):
    """`[publish]`: the model folder.

    Attributes:
        name: of the model.
        source: the stage to publish, "diffusion" or "distill"; or a run folder.
        ema: length of the average to publish; any, not only those that were kept.
        vae: folder of the VAE; empty for the one that the stage `vae` trained.
        out: model folder to write; empty for OUT/model.
        width, height: native size in pixels.
        steps, guidance, sigma_min, sigma_max: of sampling; a distilled model brings its own.
        keep_still_detail: add back what decoding loses of the still where nothing moves.
        licence: of the weights.
    """

    name: str = Field(default="mine", min_length=1)
    source: str = "diffusion"
    ema: EmaLength = 0.10
    vae: Folder | None = None
    out: Folder | None = None
    width: Count = 128
    height: Count = 128
    steps: Count = 25
    guidance: Pair = [1.0, 3.0]
    sigma_min: Positive = 0.002
    sigma_max: Positive = 700.0
    keep_still_detail: bool = False
    licence: str = "unstated"
