"""emonet's bundled models, as peers are measured."""

from benchmarks.peers import harness


def variant(model: str, runtime: str):
    """Return a function that loads a model with a runtime."""

    def load():
        from emonet import EmotionRecognizer

        return EmotionRecognizer.from_pretrained(model, runtime=runtime).predict_proba

    return load


harness.run(
    "emonet",
    {
        f"{model}, {runtime}": variant(model, runtime)
        for model in ("default", "fast")
        for runtime in ("onnxruntime", "keras")
    },
)
