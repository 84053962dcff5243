# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation as a user meets it: a folder of clips and models in, a report, a page and pictures out.

First all candidates make all clips, one model in memory at a time; then every clip is measured, the frozen still and
the real frames once for all candidates. Both go into a store (`eval_store`), so a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend.errors import InputError
from .behaviour import behaviour_on_clip, summarise_behaviour
from .candidates import Candidate, load_model
from .clips import RealClip, read_clips
from .eval_page import write_page
from .eval_progress import EvalProgress
from .eval_sheet import write_sheet
from .eval_store import Prediction, Store, code_digest, key_of, key_of_request
from .evaluate import PipelineUnderTest
from .measured_clip import MeasuredClip, Rulers
from .measuring import ClipScores
from .perceptual import Lpips, VideoFeatures, frechet_distance
from .summary import compare, summarise
from .tracking import DEFAULT_TRACKER
from .whole_files import make_folder, write_whole

SCHEMA = 2
REPORT, PAGE, STORE = "report.json", "report.html", "made"  # in the folder of an evaluation
# What of a preview's own record tells how the clips were made.
MADE_BY = ("model", "model_hash", "seed", "steps", "guidance", "device", "versions")


@dataclass(frozen=True)
class EvaluationOrder:
    """What `puppet-master eval` was asked for.

    Attributes:
        clips: folder of shards or `.npz` clips.
        candidates: the models; the first is what the others are compared with.
        limit: measure the first so many clips; None: all.
        device: "auto", "cpu", "cuda" or "cuda:N".
        out: folder that receives report, page and all that is needed to go on; None: nothing is kept.
        sheets: folder that receives a picture per clip; None: no pictures.
        lpips, fvd: files of the networks for these measures; None: not measured.
        checks: whether to check behaviour too (opposite drags, pins, no drags).
    """

    clips: Path
    candidates: Sequence[Candidate] = field(default_factory=lambda: (Candidate.parse("tiny", seed=0),))
    limit: int | None = None
    device: str = "auto"
    out: Path | None = None
    sheets: Path | None = None
    lpips: Path | None = None
    fvd: Path | None = None
    checks: bool = False


@dataclass(frozen=True)
class Entry:
    """A candidate and what it made.

    Attributes:
        candidate: who.
        keys: of its prediction for each clip, in the clips' order.
        made_by: how they were made, from the previews' own records.
        cut: names of the clips that have more drags than the model has slots.
        behaviour: of each clip; empty where it was not asked for.
    """

    candidate: Candidate
    keys: list[str]
    made_by: dict[str, Any]
    cut: list[str]
    behaviour: list[dict[str, Any]]


def evaluate_models(order: EvaluationOrder) -> dict[str, Any]:
    """Measure models on a folder of clips.

    Returns:
        The report, as `docs/evaluation.md` describes it: that of the first candidate (`summarise`, and what made it),
        and under `models` those of all.

    Raises:
        InputError: no clips, or one that cannot be used; all are read before the first is generated.
        ModelError: a model or a network is missing or corrupt.
        OutputError: something cannot be written.
    """
    return Evaluation(order).run()


class Evaluation:
    """One evaluation, step by step; `evaluate_models` runs it."""

    def __init__(self, order: EvaluationOrder) -> None:
        """Load the networks and read all clips once: a fault is better named before hours of work than after.

        Raises:
            InputError, ModelError, OutputError: as `evaluate_models`.
        """
        labels = [candidate.label for candidate in order.candidates]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise InputError(f"the model {twice} is given twice; leave one out, or give them different settings")
        self.order = order
        self.rulers = Rulers(
            DEFAULT_TRACKER,
            Lpips(order.lpips) if order.lpips else None,
            VideoFeatures(order.fvd) if order.fvd else None,
        )
        self.digests = [clip.digest for clip in self._clips()]
        for folder in (order.out, order.sheets):
            if folder:
                make_folder(folder)

    def run(self) -> dict[str, Any]:
        """Make, measure, write; the report."""
        with self._store() as store, EvalProgress() as progress:
            entries = [self._make(candidate, store, progress) for candidate in self.order.candidates]
            scores, distances = self._measure(entries, store, progress)
            report = self._report(entries, scores, distances)
            if self.order.out:
                write_whole(self.order.out / REPORT, json.dumps(report, indent=1))
                write_page(self.order.out / PAGE, report, self._clips(), [entry.keys for entry in entries], store)
        return report

    def _clips(self) -> Iterator[RealClip]:
        return read_clips(self.order.clips, self.order.limit)

    @contextmanager
    def _store(self) -> Iterator[Store]:
        if self.order.out:
            yield Store(self.order.out / STORE)
            return
        with tempfile.TemporaryDirectory(prefix="puppet-master-eval-") as folder:
            yield Store(Path(folder))

    def _make(self, candidate: Candidate, store: Store, progress: EvalProgress) -> Entry:
        """All clips as a candidate makes them."""
        under_test = PipelineUnderTest(load_model(candidate.model, self.order.device), candidate.settings)
        pipeline = under_test.pipeline
        keys, cut, behaviour, made_by = [], [], [], {}
        with progress.stage(f"making, {candidate.label}", len(self.digests)) as advance:
            for clip in self._clips():
                key = key_of_request(pipeline.model_hash, str(pipeline.device), under_test.request(clip))
                prediction = store.prediction(key)
                fresh = prediction is None
                if prediction is None:
                    begun = time.perf_counter()
                    frames = under_test(clip)
                    prediction = Prediction(frames, under_test.result, time.perf_counter() - begun)
                    store.keep(key, prediction)
                made_by = {name: prediction.result[name] for name in MADE_BY}
                keys.append(key)
                if under_test.leaves_out(clip):
                    cut.append(clip.name)
                if self.order.checks:
                    behaviour.append(self._check(key, clip, under_test, store))
                advance(fresh)
        return Entry(candidate, keys, made_by, cut, behaviour)

    def _check(self, key: str, clip: RealClip, under_test: PipelineUnderTest, store: Store) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            return asdict(behaviour_on_clip(under_test.pipeline, clip, under_test.settings, self.rulers.track))

        code = code_digest("training", "behaviour.py")
        kept = key_of("behaviour", prediction=key, clip=clip.digest, code=code, by=self.rulers.digest)
        return {"clip": clip.name, **store.values(kept, make)}

    def _measure(
        self, entries: Sequence[Entry], store: Store, progress: EvalProgress
    ) -> tuple[list[list[ClipScores]], list[tuple[float | None, float | None]]]:
        """Each candidate's scores of each clip; and each one's distance of videos and the frozen still's."""
        scores: list[list[ClipScores]] = [[] for _ in entries]
        seen: list[list[NDArray[np.float64]]] = [[] for _ in range(len(entries) + 2)]
        with progress.stage("measuring", len(self.digests)) as advance:
            for index, clip in enumerate(self._clips()):
                measured = MeasuredClip(clip, store, self.rulers)
                still, truth = measured.measures("still"), measured.measures("truth")
                for entry, list_of in zip(entries, scores, strict=True):
                    own = measured.measures(entry.keys[index])
                    list_of.append(ClipScores(clip.name, own, still, truth, measured.seconds(entry.keys[index])))
                for list_of_features, key in zip(
                    seen, ("truth", "still", *(entry.keys[index] for entry in entries)), strict=True
                ):
                    if self.rulers.video:
                        list_of_features.append(measured.features(key))
                if self.order.sheets:
                    frames = [measured.frames(entry.keys[index]) for entry in entries]
                    labels = [entry.candidate.label for entry in entries]
                    made = list(zip(labels, frames, [own[-1] for own in scores], strict=True))
                    write_sheet(self.order.sheets / f"{clip.name}.png", clip, made)
                advance(measured.worked)
        return scores, self._video_distances(seen)

    def _video_distances(self, seen: list[list[NDArray[np.float64]]]) -> list[tuple[float | None, float | None]]:
        if not self.rulers.video:
            return [(None, None)] * (len(seen) - 2)
        truth, still, *made = (np.array(features) for features in seen)
        frozen = frechet_distance(still, truth)
        return [(frechet_distance(features, truth), frozen) for features in made]

    def _report(
        self,
        entries: Sequence[Entry],
        scores: Sequence[Sequence[ClipScores]],
        distances: Sequence[tuple[float | None, float | None]],
    ) -> dict[str, Any]:
        models = []
        for entry, own, (fvd, frozen) in zip(entries, scores, distances, strict=True):
            model = {"label": entry.candidate.label, **entry.made_by, **summarise(own), "fvd": fvd, "fvd_still": frozen}
            model["clips_with_drags_left_out"] = entry.cut
            if entry.behaviour:
                model["behaviour"] = summarise_behaviour(entry.behaviour)
            if models:
                model["difference_to_first"] = compare(own, scores[0])
            models.append(model)
        return {
            "schema": SCHEMA,
            **models[0],
            "dataset": {
                "folder": str(self.order.clips),
                "clips": len(self.digests),
                "sha256": hashlib.sha256("".join(self.digests).encode()).hexdigest(),
            },
            "tracker": self.rulers.tracker,
            "lpips_network": self.rulers.lpips.digest if self.rulers.lpips else None,
            "fvd_network": self.rulers.video.digest if self.rulers.video else None,
            "models": models,
        }
