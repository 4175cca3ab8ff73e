"""emonet's bundled models, measured like the peers."""

from benchmarks.peers import harness
from benchmarks.peers.environments import PEERS


def loader(model: str, runtime: str):
    """Return a function that loads a model in a runtime."""

    def load():
        from emonet import EmotionRecognizer

        return EmotionRecognizer.from_pretrained(model, runtime=runtime).predict_proba

    return load


(ours,) = (peer for peer in PEERS if peer.name == "emonet")
harness.run("emonet", {variant: loader(*variant.split(", ")) for variant in ours.variants})
