"""emonet's bundled default model, as peers are measured."""

from benchmarks.peers import harness


def runtime(name: str):
    """Return a function that loads the model with a runtime."""

    def load():
        from emonet import EmotionRecognizer

        return EmotionRecognizer.from_pretrained(runtime=name).predict_proba

    return load


harness.run("emonet", {name: runtime(name) for name in ("onnxruntime", "keras")})
