"""emonet's bundled models, measured like the peers."""

from benchmarks.peers import harness
from benchmarks.peers.environments import PEERS


def loader(model: str, runtime: str):
    """Return a function that loads a model in a runtime."""

    def load():
        from emonet import EmotionRecognizer

        return EmotionRecognizer.from_pretrained(model, runtime=runtime).predict_proba

    return load


def film_loader(model: str):
    """Return a function that loads a model for films."""

    def load():
        from emonet import EmotionRecognizer

        recognizer = EmotionRecognizer.from_pretrained(model)
        return lambda film: sum(bool(frame.faces) for frame in recognizer.stream_video(film))

    return load


(ours,) = (peer for peer in PEERS if peer.name == "emonet")
harness.run(
    "emonet",
    {variant: loader(*variant.split(", ")) for variant in ours.variants},
    films={model: film_loader(model) for model in ours.films},
)
