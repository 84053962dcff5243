# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures of a clip as an evaluation needs them: from its store, or taken now and kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray

from .clips import RealClip
from .eval_store import Prediction, Store, code_digest, key_of
from .measuring import Measures, Measuring
from .motion import Found
from .perceptual import Lpips, VideoFeatures
from .tracking import TRACKERS, Track

# The code that shapes measures; the rest of the room may change under a store.
MEASURED_BY = ("clips.py", "measuring.py", "metrics.py", "motion.py", "perceptual.py", "tracking.py")


@dataclass(frozen=True)
class Rulers:
    """What clips are measured with.

    Attributes:
        tracker: its name.
        lpips, video: networks for LPIPS and FVD, if wanted.
    """

    tracker: str
    lpips: Lpips | None = None
    video: VideoFeatures | None = None

    @property
    def track(self) -> Track:
        """The tracker."""
        return TRACKERS[self.tracker]

    @cached_property
    def digest(self) -> str:
        """A hash over all but the frames that shapes a measure."""
        return key_of(
            "by",
            code=code_digest("training", *MEASURED_BY),
            libraries=(np.__version__, cv2.__version__, skimage.__version__),
            tracker=self.tracker,
            lpips=self.lpips.digest if self.lpips else "",
        )


class MeasuredClip:
    """A clip's measures, features and predictions, from the store or made now.

    What is measured is named "still", "truth" or by the key of a prediction that the store holds.

    Attributes:
        worked: whether anything had to be measured.
    """

    def __init__(self, clip: RealClip, store: Store, rulers: Rulers) -> None:
        self._clip, self._store, self._rulers = clip, store, rulers
        self.worked = False

    def measures(self, what: str) -> Measures:
        """Its measures."""
        return Measures(**self._store.values(self._key("measures", what), lambda: self._measure(what)))

    def features(self, what: str) -> NDArray[np.float64]:
        """What the video network sees in it, `[D]`."""
        network = self._rulers.video
        assert network is not None
        key = key_of("features", clip=self._clip.digest, what=what, network=network.digest)
        return self._store.arrays(key, lambda: {"features": network(self.frames(what))})["features"]

    def frames(self, what: str) -> NDArray[np.uint8]:
        """Its frames, uint8 `[N, H, W, 3]`."""
        if what == "truth":
            return self._clip.frames
        return self._measuring.frozen if what == "still" else self._prediction(what).frames

    def seconds(self, key: str) -> float:
        """What making a prediction took."""
        return self._prediction(key).seconds

    def _prediction(self, key: str) -> Prediction:
        prediction = self._store.prediction(key)
        assert prediction is not None, f"{key} was kept a moment ago"
        return prediction

    def _measure(self, what: str) -> dict[str, Any]:
        self.worked = True
        return asdict(self._measuring.of(self.frames(what)))

    @cached_property
    def _measuring(self) -> Measuring:
        """Measures against the clip; what the tracker finds in its own frames is kept too."""
        measuring = Measuring(self._clip, self._rulers.track, self._rulers.lpips)
        measuring.real = Found(**self._store.arrays(self._key("tracks", "truth"), lambda: vars(measuring.real)))
        return measuring

    def _key(self, kind: str, what: str) -> str:
        return key_of(kind, clip=self._clip.digest, what=what, by=self._rulers.digest)
