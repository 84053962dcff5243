# SPDX-License-Identifier: GPL-3.0-or-later
"""What the paper's additions are worth: the same small model, each time without one of them, trained equally long.

All variants share VAE, latents, number of clips, their order and what is random about them; they are compared on
held-out clips with the same drags, noise and noise levels. So the difference of two variants' errors on one clip says
far more than the errors do. It does not say how much training by itself scatters: for that there is the variant
`other-seed`, which is the full model once more.

| in the folder | |
|---|---|
| `vae`, `latents` | of all variants |
| `held-out/latents`, `unfiltered/latents` | of the clips to measure on, and of those that no filter chose |
| `VARIANT/diffusion`, `VARIANT/model` | its run, and the model where it is evaluated |
| `eval` | what `puppet-master eval` found |
| `ablation.json`, `ablation.md` | the figures of all variants whose runs are complete |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..backend.clips import Clip
from ..backend.errors import InputError
from . import diffusion
from .candidates import Candidate
from .checkpoint import CHECKPOINT
from .config import BaseConfig, load_config
from .dataset import RenderedClips
from .diffusion import residual_scale, squared_errors
from .latents import read_cache, write_cache
from .metrics import bootstrap_interval
from .mixture import Mixture
from .networks import Conditioned, networks_of_run
from .parallel import start_processes
from .report import EvaluationOrder, evaluate_models
from .stages import STAGES, Job
from .stream import Batch
from .vae import load_vae, vae_folder
from .whole_files import write_whole

FULL, WITHHELD, STILL, UNFILTERED = "full", "drags-withheld", "frozen-still", "no-filter"
# What each variant changes of the configuration.
VARIANTS: dict[str, tuple[str, ...]] = {
    FULL: (),
    "no-end-location": ("diffusion.unet.drag_end_location=false",),
    "no-scale": ("diffusion.unet.drag_scale=false",),
    "no-tokens": ("diffusion.unet.drag_token_cross_attn=false",),
    "no-all-to-first": ("diffusion.unet.all_to_first=false",),
    UNFILTERED: (),
    "other-seed": (),
}
MEANING = {
    FULL: "the full model",
    "no-end-location": "without end location",
    "no-scale": "without scale (shift alone)",
    "no-tokens": "without drag tokens",
    "no-all-to-first": "without all-to-first attention",
    UNFILTERED: "trained on unfiltered clips",
    "other-seed": "the full model, another seed",
    WITHHELD: "the full model, its drags withheld",
    STILL: "nothing moves",
}
LEVELS = (-1.0, 0.0, 1.0)  # noise levels measured at, in standard deviations of those trained at
MEASURED_AT_ONCE = 16


@dataclass(frozen=True)
class AblationOrder:
    """What is compared.

    Attributes:
        config: TOML file or preset; its `out` is the folder, its `data.clips` are what is trained on.
        held_out: dataset folders to measure on.
        overrides: as for `puppet-master train`.
        unfiltered: dataset folders that stand in for the first one of `data.clips` in the variant `no-filter`; of their
            clips as many are drawn as that one has. Empty: no such variant.
        only: variants to train now; empty for all.
        draws: how often drags and noise are drawn for each held-out clip.
        eval_clips: measure so many held-out clips by `puppet-master eval` too.
    """

    config: str
    held_out: tuple[Path, ...]
    overrides: tuple[str, ...] = ()
    unfiltered: tuple[Path, ...] = ()
    only: tuple[str, ...] = ()
    draws: int = 4
    eval_clips: int = 0

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in VARIANTS:
                raise InputError(f"there is no variant {name!r}; known are {', '.join(VARIANTS)}")
        if UNFILTERED in self.only and not self.unfiltered:
            raise InputError(f"the variant {UNFILTERED} needs clips that no filter chose; give them by --unfiltered")

    @property
    def variants(self) -> list[str]:
        """All that may be trained, in order."""
        return [name for name in VARIANTS if name != UNFILTERED or self.unfiltered]


@dataclass(frozen=True)
class Row:
    """A variant's figures.

    Attributes:
        name: of the variant.
        errors: mean squared error of the UNet's output, `[clips, levels]`, over the draws; 1 is the data's variance.
        parameters: of its networks; 0 where none were trained for it.
    """

    name: str
    errors: NDArray[np.float64]
    parameters: int


class SomeClips(RenderedClips):
    """As many clips of dataset folders as asked for, drawn at random, and all of other folders.

    Raises:
        InputError: there are fewer.
    """

    def __init__(self, folders: Sequence[Path], count: int, seed: int, others: Sequence[Path] = ()) -> None:
        super().__init__([*folders, *others])
        total = len(RenderedClips(folders))
        if total < count:
            raise InputError(f"there are {total} unfiltered clips, and {count} filtered ones; render more")
        drawn = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
        self._chosen = [*drawn.tolist(), *range(total, len(self.names))]
        self.names = [self.names[index] for index in self._chosen]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> Clip:
        """Read a clip. Raises `InputError` that names it, if it is damaged."""
        return super().load(self._chosen[index])


class Ablation:
    """One comparison, step by step; `ablate` runs it."""

    def __init__(self, order: AblationOrder, say: Callable[[str], None]) -> None:
        """
        Raises:
            InputError: the configuration or a folder cannot be used.
        """
        self.order, self.say = order, say
        self.base = load_config(order.config, [*order.overrides, "stages=['vae','latents']"])
        self.processes = start_processes(self.base.device)
        if self.processes.num_processes > 1:
            raise InputError("an ablation runs in one process; start it without torchrun, twice with --only for two")

    def run(self) -> dict[str, Any]:
        """Train what is not trained yet, measure, write; the report."""
        self._prepare()
        for name in self.order.only or self.order.variants:
            self.say(f"ablation: {name}")
            diffusion.run(self._job(self._config(name)), self.scale)
        report = self.report()
        write_whole(self.base.out / "ablation.json", json.dumps(report, indent=1) + "\n")
        write_whole(self.base.out / "ablation.md", table(report))
        return report

    def report(self) -> dict[str, Any]:
        """The figures of all variants that are trained to the end."""
        trained = [name for name in self.order.variants if self._is_trained(name)]
        found: list[dict[str, Any]] = []
        if FULL in trained:
            rows = [self._measured(name) for name in trained]
            found = [summary(row, rows[0]) for row in [*rows, *self._yardsticks()]]
            if self.order.eval_clips:
                self._evaluate(trained, found)
        else:
            self.say(f"ablation: no figures yet; the others are compared with {FULL}, which is not trained")
        settings = self.base.section("diffusion")
        mean, spread = settings.log_sigma
        return {
            "clips_seen": settings.clips, "training_clips": len(RenderedClips(self.base.data.clips)),
            "held_out_clips": len(RenderedClips(self.order.held_out)), "draws": self.order.draws,
            "noise_levels": [float(np.exp(mean + spread * level)) for level in LEVELS], "seed": self.base.seed,
            "variants": found,
        }  # fmt: skip

    def _prepare(self) -> None:
        """VAE and all caches of latents."""
        given = self.base.section("latents").vae is not None
        for name in ("latents",) if given else ("vae", "latents"):
            STAGES[name].run(self._job(self.base))
        vae = load_vae(vae_folder(self.base)).to(self.processes.device)
        views = self.base.section("latents")
        held_out = RenderedClips(self.order.held_out)
        write_cache(held_out, vae, self._cache("held-out"), views.model_copy(update={"count": 1}), log=self.say)
        if self.order.unfiltered:
            first, *others = self.base.data.clips
            clips = SomeClips(self.order.unfiltered, len(RenderedClips([first])), self.base.seed, others)
            write_cache(clips, vae, self._cache("unfiltered"), views, log=self.say)

    @cached_property
    def scale(self) -> float:
        """Of the target; the same for all variants, or their errors could not be compared."""
        residual = self.base.section("diffusion").target == "residual"
        return residual_scale(self.base.folder("latents")) if residual else 1.0

    def _cache(self, name: str) -> Path:
        return self.base.out / name / "latents"

    def _config(self, name: str, stage: str = "diffusion") -> BaseConfig:
        """A variant's configuration for one stage."""
        vae = vae_folder(self.base)
        own = [*VARIANTS[name], f"seed={self.base.seed + (name == 'other-seed')}"]
        cache = self._cache("unfiltered") if name == UNFILTERED else self.base.folder("latents")
        return load_config(self.order.config, [
            *self.order.overrides, *own, f"stages=['{stage}']", f"out={self.base.out / name}", f"latents.vae={vae}",
            f"diffusion.latents={cache}", f"publish.vae={vae}", f"publish.name={name}",
        ])  # fmt: skip

    def _job(self, config: BaseConfig) -> Job:
        return Job(config, self.processes, self.say)

    def _is_trained(self, name: str) -> bool:
        config = self._config(name)
        path = config.folder("diffusion") / CHECKPOINT
        if not path.is_file():
            return False
        position = torch.load(path, weights_only=True, map_location="cpu", mmap=True)["position"]
        return position["seen"] >= config.section("diffusion").clips

    def _networks(self, name: str) -> Conditioned:
        config = self._config(name)
        networks, _ = networks_of_run(config.folder("diffusion"), config.section("publish").ema)
        return networks.to(self.processes.device)

    def _measured(self, name: str) -> Row:
        networks = self._networks(name)
        return Row(name, self._errors(networks), sum(parameter.numel() for parameter in networks.parameters()))

    def _yardsticks(self) -> list[Row]:
        """What differences are to be seen beside: how much the drags matter at all, and whether anything is learnt."""
        rows = [Row(WITHHELD, self._errors(self._networks(FULL), withhold=True), 0)]
        if self.base.section("diffusion").target == "residual":
            rows.append(Row(STILL, self._errors(None), 0))
        return rows

    @torch.no_grad()
    def _errors(self, networks: Conditioned | None, withhold: bool = False) -> NDArray[np.float64]:
        """Of each held-out clip at each noise level, `[clips, levels]`; without networks, of the answer "still"."""
        mean, spread = self.base.section("diffusion").log_sigma
        found = []
        for batch in self.batches:
            batch = {name: value.to(self.processes.device) for name, value in batch.items()}
            if withhold:
                batch |= {"drags": 0 * batch["drags"], "drag_mask": batch["drag_mask"] & False}
            sigmas = [torch.full_like(batch["keep"], float(np.exp(mean + spread * level))) for level in LEVELS]
            errors = [self._answer_still(batch, s) if networks is None else squared_errors(networks, batch, s)
                      for s in sigmas]  # fmt: skip
            found.append(torch.stack(errors, dim=1).double().cpu().numpy())
        by_draw = np.concatenate(found).reshape(self.order.draws, -1, len(LEVELS))
        return by_draw.mean(axis=0)

    @staticmethod
    def _answer_still(batch: Batch, sigma: torch.Tensor) -> torch.Tensor:
        """The error of denoising to no difference from the still at all, in units of the UNet's output."""
        return batch["target"].square().mean(dim=(1, 2, 3, 4)) * (sigma.square() + 1) / sigma.square()

    @cached_property
    def batches(self) -> list[Batch]:
        """The held-out samples, draw after draw: what is random about them depends on seed, draw and clip alone."""
        settings, seed = self.base.section("diffusion"), self.base.seed
        every = settings.mixture.model_copy(update={"drop_condition": 0.0, "still_clips": 0.0})
        factor = float(load_vae(vae_folder(self.base)).config.scaling_factor)
        maker = Mixture(every, settings.unet.num_drags, settings.target, self.scale, factor)
        clips = list(read_cache(self._cache("held-out")))
        samples = [
            maker.sample(f"number {index}", clip, np.random.default_rng([seed, draw, index]))
            for draw in range(self.order.draws)
            for index, clip in enumerate(clips)
        ]
        parts = [samples[start : start + MEASURED_AT_ONCE] for start in range(0, len(samples), MEASURED_AT_ONCE)]
        return [{key: torch.from_numpy(np.stack([s[key] for s in part])) for key in part[0]} for part in parts]

    def _evaluate(self, trained: Sequence[str], found: list[dict[str, Any]]) -> None:
        """Add what `puppet-master eval` finds to the summaries of the variants."""
        for name in trained:
            STAGES["publish"].run(self._job(self._config(name, "publish")))
        models = [Candidate.parse(str(self.base.out / name / "model"), seed=0) for name in trained]
        report = evaluate_models(EvaluationOrder(
            self.order.held_out[0], models, self.order.eval_clips, self.base.device, self.base.out / "eval",
        ))  # fmt: skip
        by_name = {summary["variant"]: summary for summary in found}
        keys = ("motion_error", "motion_gap_closed", "psnr_moving")
        for name, model in zip(trained, report["models"], strict=True):
            by_name[name] |= {key: model[key] for key in keys}
            by_name[name] |= {f"{key}_difference": model.get("difference_to_first", {}).get(key) for key in keys}


def ablate(order: AblationOrder, say: Callable[[str], None]) -> dict[str, Any]:
    """Train and compare variants; what is done already is not done again.

    Returns:
        What `OUT/ablation.json` holds: `variants`, a list of `summary`, the full model first.

    Raises:
        InputError, ModelError, OutputError, RequirementError, Cancelled: as `puppet-master train`.
    """
    return Ablation(order, say).run()


def summary(row: Row, full: Row) -> dict[str, Any]:
    """A row in figures: its mean error, and the mean difference to the full model with its 95 % interval over clips."""
    own, other = row.errors.mean(axis=1), full.errors.mean(axis=1)
    interval = bootstrap_interval((own - other)[:, None], lambda means: means[:, 0])
    return {
        "variant": row.name, "meaning": MEANING[row.name], "parameters": row.parameters, "loss": float(own.mean()),
        "loss_by_level": row.errors.mean(axis=0).tolist(), "difference": float((own - other).mean()),
        "difference_95": interval, "difference_share": float((own - other).mean() / other.mean()),
    }  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    evaluated = any("motion_error" in row for row in report["variants"])
    heads = ["variant", "loss", "difference to the full model (95 %)", "of its loss"]
    heads += ["motion error (px)", "difference (95 %)"] if evaluated else []
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in report["variants"]:
        cells = [row["meaning"], f"{row['loss']:.4f}"]
        first = row["variant"] == FULL
        cells += ["", ""] if first else [_with_interval(row["difference"], row["difference_95"], 4),
                                         f"{row['difference_share']:+.1%}"]  # fmt: skip
        if evaluated:
            error, apart = row.get("motion_error"), row.get("motion_error_difference")
            cells.append("" if error is None else f"{error:.2f}")
            cells.append(_with_interval(apart["mean"], apart["confidence_95"], 2) if apart else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _with_interval(value: float, interval: Sequence[float] | None, digits: int) -> str:
    low_high = f" ({interval[0]:+.{digits}f} ... {interval[1]:+.{digits}f})" if interval else ""
    return f"{value:+.{digits}f}{low_high}"
