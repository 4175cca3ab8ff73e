"""Videos: how steady and right labels are, how well tracks hold, and how fast it is.

- ``labels``: made films of single faces (see sequences.py), each 24 frames at 25 frames/s.
  ``accuracy`` is over all frames; ``changes_removed`` is the share of the label changes without
  smoothing. ``lag_s`` is the time from a change of expression to its label.
- ``tracks``: made films of people who pass, hide and leave, with a detector that misses faces
  and places boxes imprecisely. ``switches`` counts how often a person's number changes;
  ``fragments`` counts the tracks beyond one for each visit of a person.
- ``speed``: a made film of one face, beside a plain loop that decodes and detects only.
- ``memory``: growth of memory from the first minute of a film to its end.
- ``peers``: a made film of one face, beside other libraries in their own environments.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

import emonet
from benchmarks.memory import peak_mib, reset_peak
from benchmarks.options import Options
from benchmarks.peers.environments import PEERS
from benchmarks.peers.part import ask
from benchmarks.photos import example_photo
from benchmarks.sequences import RATE, make_sequence
from benchmarks.timing import measure as timed
from emonet import Box, Detection, Face, TrackedFace, VideoFrame
from emonet.evaluation.report import CALIBRATION_BINS
from emonet.video.smoothing import smoothed
from emonet.video.tracking import Tracker

KEYS = ("measure", "case")
METRICS = (
    "accuracy",
    "changes_per_s",
    "changes_removed",
    "calibration_error",
    "log_loss",
    "lag_s_p50",
    "lag_s_p90",
    "lag_over_half_s",
    "switches",
    "fragments",
    "frames_per_s",
    "decode_detect_frames_per_s",
    "times_decode_detect",
    "cpu_ms_per_frame",
    "growth_mib",
    "peak_rss_mib",
)
DETAILS = ("sequences", "films", "people", "frames", "faces", "frames_with_face", "version", "runs")

FRAMES = 24
MODEL = "tiny"
SIZES = {"360p": (640, 360), "720p": (1280, 720)}


def tasks(options: Options) -> list[list[dict]]:
    """Return the rows; all rows of a measure share a process."""
    from emonet.storage.sources import bundled_models

    speed = [f"{model} {size}" for model in bundled_models() for size in SIZES]
    cases = {
        "labels": ["none", "causal", "centred"],
        "tracks": list(SCENES),
        "speed": speed,
        "memory": ["looped film"],
        "peers": [f"{peer.name} {way}" for peer in PEERS for way in peer.films],
    }
    return [
        [{"measure": measure, "case": case} for case in names] for measure, names in cases.items()
    ]


def measure(task: dict, options: Options) -> dict:
    """Measure a row."""
    return MEASURES[task["measure"]](task["case"], options)


# Labels


@cache
def _predicted(options: Options) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return probabilities (n, FRAMES, classes), true classes (n,), and the labels."""
    dataset = emonet.load_dataset(options.data, options.split)
    # The constants of smoothing were chosen on faces of the first half.
    half = len(dataset) // 2
    count = 14 if options.quick else options.sequences or len(dataset)
    chosen = np.unique(
        np.linspace(half if count <= half else 0, len(dataset) - 1, count, dtype=int)
    )
    random = np.random.default_rng(0)
    recognizer = emonet.EmotionRecognizer.from_pretrained(MODEL)
    sequences = (make_sequence(dataset.images[index], FRAMES, random) for index in chosen)
    found = [recognizer.predict_proba(np.concatenate(part)) for part in _batched(sequences, 16)]
    probabilities = np.concatenate(found).reshape(len(chosen), FRAMES, -1)
    names = [dataset.labels[kind] for kind in dataset.classes[chosen]]
    return probabilities, np.array(list(map(recognizer.labels.index, names))), recognizer.labels


def _batched(items: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    while batch := list(itertools.islice(items, size)):
        yield batch


def _labels(case: str, options: Options) -> dict:
    if options.data is None:
        return {"skipped": "needs --data"}
    probabilities, classes, labels = _predicted(options)
    shown, vectors = _smooth(probabilities, labels, case)
    raw = probabilities.argmax(axis=2)
    right = shown == classes[:, np.newaxis]
    score = np.take_along_axis(vectors, shown[..., np.newaxis], 2)[..., 0]
    true = np.take_along_axis(vectors, classes[:, np.newaxis, np.newaxis], 2)
    lag = _lags(probabilities, labels, case)
    return {
        "sequences": len(classes),
        "accuracy": float(right.mean()),
        "changes_per_s": _changes(shown),
        "changes_removed": 1 - _changes(shown) / _changes(raw),
        "calibration_error": _calibration_error(score, right),
        "log_loss": float(-np.log(np.maximum(true, 1e-12)).mean()),
        "lag_s_p50": float(np.median(lag)),
        "lag_s_p90": float(np.quantile(lag, 0.9)),
        "lag_over_half_s": float((lag > 0.5).mean()),
    }


def _smooth(
    probabilities: np.ndarray, labels: tuple[str, ...], case: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shown classes (n, frames) and the smoothed probabilities of made films."""
    box = Box(0, 0, 48, 48)
    shown, vectors = [], []
    for sequence in probabilities:
        frames = [
            VideoFrame(
                index=index,
                seconds=index / RATE,
                width=48,
                height=48,
                faces=(_tracked(vector, labels, box),),
            )
            for index, vector in enumerate(sequence)
        ]
        faces = [frame.faces[0] for frame in smoothed(frames, case)]
        shown.append([labels.index(face.label) for face in faces])
        vectors.append([list(face.probabilities.values()) for face in faces])
    return np.array(shown), np.array(vectors)


def _tracked(vector: np.ndarray, labels: tuple[str, ...], box: Box) -> TrackedFace:
    named = dict(zip(labels, vector.tolist(), strict=True))
    return TrackedFace(
        box=box,
        label=labels[int(vector.argmax())],
        score=float(vector.max()),
        probabilities=named,
        detection=Detection(box),
        track=1,
        raw_probabilities=named,
    )


def _changes(shown: np.ndarray) -> float:
    """Return label changes per second of film."""
    seconds = len(shown) * (shown.shape[1] - 1) / RATE
    return float((np.diff(shown, axis=1) != 0).sum() / seconds)


def _calibration_error(score: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((score * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1).ravel()
    return float(np.abs(np.bincount(bins, weights=(right - score).ravel())).sum() / score.size)


def _lags(probabilities: np.ndarray, labels: tuple[str, ...], case: str) -> np.ndarray:
    """Return the seconds from each step to its label.

    A step joins the films of two faces whose most probable class over all frames differs. A label
    that does not come counts as the length of the film.
    """
    order = np.random.default_rng(1).permutation(len(probabilities))
    kinds = probabilities.mean(axis=1).argmax(axis=1)
    steps = kinds != kinds[order]
    joined = np.concatenate([probabilities, probabilities[order]], axis=1)[steps]
    shown = _smooth(joined, labels, case)[0][:, FRAMES:]
    hit = shown == kinds[order][steps][:, np.newaxis]
    return np.where(hit.any(axis=1), hit.argmax(axis=1), FRAMES) / RATE


# Tracks

#: Share of faces that the detector misses; error of a box, in parts of its size.
MISSED, MISPLACED = 0.05, 0.04
SIDE = 80.0

#: A person's centre at a time, or None while the person can't be seen.
Path_ = Callable[[float], tuple[float, float] | None]


def _passing(random: np.random.Generator) -> list[Path_]:
    """Two people pass each other; the one behind is hidden where the boxes overlap much."""
    speed, level = random.uniform(100, 300), random.uniform(-30, 30)
    near: Path_ = lambda t: (100 + speed * t, 200)  # noqa: E731
    far: Path_ = lambda t: (100 + speed * 4 - speed * t, 200 + level)  # noqa: E731

    def hidden(t: float) -> tuple[float, float] | None:
        (x, _), (other, y) = near(t), far(t)
        return None if abs(x - other) < 0.5 * SIDE else (other, y)

    return [near, hidden]


def _leaving(random: np.random.Generator) -> list[Path_]:
    """A person leaves for half a second, another one stays."""
    left = random.uniform(1, 2)
    return [
        lambda t: None if left < t < left + 0.5 else (200 + 20 * np.sin(3 * t), 200),
        lambda t: (500, 200 + 20 * np.cos(3 * t)),
    ]


def _returning(random: np.random.Generator) -> list[Path_]:
    """A person leaves for two seconds: the second visit gets a number of its own."""
    left = random.uniform(0.5, 1.5)
    return [lambda t: None if left < t < left + 2 else (200, 200), lambda t: (500, 200)]


def _crowd(random: np.random.Generator) -> list[Path_]:
    """Twenty people sway close to each other."""

    def sway(x: float, y: float) -> Path_:
        phases, speeds = random.uniform(0, 6, 2), random.uniform(0.5, 3, 2)
        return lambda t: (
            x + 25 * np.sin(speeds[0] * t + phases[0]),
            y + 15 * np.sin(speeds[1] * t + phases[1]),
        )

    return [sway(100 + 110 * column, 100 + 110 * row) for column in range(5) for row in range(4)]


SCENES = {"pass": _passing, "leave 0.5 s": _leaving, "leave 2 s": _returning, "crowd": _crowd}
SCENE_SECONDS = 4.0


def _tracks(case: str, options: Options) -> dict:
    films = 3 if options.quick else 40
    switches = fragments = people = 0
    random = np.random.default_rng(0)
    for _ in range(films):
        paths = SCENES[case](random)
        people += len(paths)
        visits: list[list[list[int]]] = [[] for _ in paths]
        seen = [-9.0] * len(paths)
        tracker = Tracker()
        for index in range(round(SCENE_SECONDS * RATE)):
            seconds = index / RATE
            places = [path(seconds) for path in paths]
            found = [k for k, at in enumerate(places) if at and random.random() > MISSED]
            numbers = tracker.update(seconds, [_detected(places[k], random) for k in found])
            for k, number in zip(found, numbers, strict=True):
                if seconds - seen[k] > 1:
                    visits[k].append([])
                seen[k] = seconds
                visits[k][-1].append(number)
        for visit in itertools.chain(*visits):
            switches += sum(one != other for one, other in itertools.pairwise(visit))
            fragments += len(set(visit)) - 1
    return {"films": films, "people": people, "switches": switches, "fragments": fragments}


def _detected(place: tuple[float, float], random: np.random.Generator) -> Face:
    x, y, width, height = (
        np.array([place[0] - SIDE / 2, place[1] - SIDE / 2, SIDE, SIDE])
        + random.normal(0, MISPLACED * SIDE, 4)
    ).tolist()
    box = Box(x, y, width, height)
    return Face(box, "neutral", 1.0, {"neutral": 1.0}, Detection(box))


# Speed and memory


@contextmanager
def made_film(size: tuple[int, int], frames: int) -> Iterator[Path]:
    """Yield the path of a film: a photo of one face moves over a grey picture."""
    import cv2

    width, height = size
    with example_photo() as photo, tempfile.TemporaryDirectory() as folder:
        face = cv2.resize(cv2.imread(photo), (height, height))
        path = Path(folder) / "film.mp4"
        film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, size)
        for index in range(frames):
            picture = np.full((height, width, 3), 128, np.uint8)
            left = round((width - height) * (0.5 + 0.5 * np.sin(index / 10)))
            picture[:, left : left + height] = face
            film.write(picture)
        film.release()
        yield path


def _speed(case: str, options: Options) -> dict:
    import cv2

    model, size = case.split()
    recognizer = emonet.EmotionRecognizer.from_pretrained(model)
    used = recognizer.config.detector
    detector = emonet.create_detector(used.name, **used.config)
    frames = 4 if options.quick else 100

    def decode_and_detect() -> None:
        video = cv2.VideoCapture(str(path))
        while (read := video.read())[0]:
            detector.detect(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))

    limits = {"runs": options.runs, "seconds": options.seconds}
    with made_film(SIZES[size], frames) as path:
        alone = timed(decode_and_detect, **limits)
        whole = timed(lambda: list(recognizer.stream_video(path)), **limits)
        faces = sum(len(frame.faces) for frame in recognizer.stream_video(path))
    return {
        "frames": frames,
        "faces": faces,
        "runs": whole["runs"],
        "frames_per_s": 1000 * frames / whole["ms_min"],
        "decode_detect_frames_per_s": 1000 * frames / alone["ms_min"],
        "times_decode_detect": alone["ms_min"] / whole["ms_min"],
    }


def _memory(case: str, options: Options) -> dict:
    """Measure the peak of memory after a minute of film, and after an hour at 5 frames/s."""
    import cv2

    minutes = 1 if options.quick else 60
    recognizer = emonet.EmotionRecognizer.from_pretrained(MODEL)

    def looped(path: Path, seconds: float) -> Iterator[tuple[float, np.ndarray]]:
        images = []
        video = cv2.VideoCapture(str(path))
        while (read := video.read())[0]:
            images.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
        for index in range(round(seconds * 5)):
            yield index / 5, images[index % len(images)].copy()

    def run(seconds: float) -> float | None:
        reset_peak()
        for _ in recognizer.stream_video(looped(path, seconds), smoothing="centred"):
            pass
        return peak_mib()

    with made_film(SIZES["360p"], 20) as path:
        first = run(60 if not options.quick else 6)
        last = run(60 * minutes if not options.quick else 12)
    grown = None if first is None or last is None else last - first
    return {"growth_mib": grown, "frames": 300 * minutes}


def _peers(case: str, options: Options) -> dict:
    name, way = case.split()
    peer = next(peer for peer in PEERS if peer.name == name)
    frames = 4 if options.quick else 100
    with made_film(SIZES["360p"], frames) as film:
        request = {"variant": way, "film": str(film), "frames": frames}
        return {"frames": frames} | ask(peer, request, options)


MEASURES: dict[str, Callable[[str, Options], dict]] = {
    "labels": _labels,
    "tracks": _tracks,
    "speed": _speed,
    "memory": _memory,
    "peers": _peers,
}
