"""What the paper trained, and on what scale it is to be done again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from emonet.config import look_up
from emonet.errors import ConfigError
from emonet.plugin import Json

__all__ = ["PAPER_ENSEMBLE", "SCALES", "VARIANTS", "Scale", "Variant", "get_variants"]

#: Accuracy of the paper's ensemble, 0..1.
PAPER_ENSEMBLE = 0.7339


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the paper's networks, and the accuracy (0..1) that its Table 2 has for it."""

    name: str
    backbone: str
    backbone_config: Mapping[str, Json]
    features: tuple[str, ...]
    paper_accuracy: float


#: In the order of the paper's accuracies.
VARIANTS = (
    Variant(
        name="inception_resnet_v2",
        backbone="inception_resnet_v2",
        backbone_config={},
        features=(),
        paper_accuracy=0.6275,
    ),
    Variant(
        name="inception_resnet_v2_bovw",
        backbone="inception_resnet_v2",
        backbone_config={},
        features=("bovw",),
        paper_accuracy=0.6455,
    ),
    Variant(
        name="resnet50",
        backbone="resnet50",
        backbone_config={"variant": "vggface2"},
        features=(),
        paper_accuracy=0.6892,
    ),
    Variant(
        name="resnet50_bovw",
        backbone="resnet50",
        backbone_config={"variant": "vggface2"},
        features=("bovw",),
        paper_accuracy=0.7097,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large the experiment is; nothing else differs between scales.

    Attributes:
        input_sizes: side of each backbone's input, pixels.
        training_faces: how many faces of the training split are used, evenly spread over it;
            None uses all.
        epochs: of the recipe ``paper``; None leaves its own number.
    """

    name: str
    input_sizes: Mapping[str, int]
    training_faces: int | None = None
    epochs: int | None = None

    def describe(self) -> str:
        """Say in one line what the scale is."""
        sizes = ", ".join(f"{name} at {side}x{side}" for name, side in self.input_sizes.items())
        faces = "all training faces" if self.training_faces is None else (
            f"{self.training_faces} training faces"
        )  # fmt: skip
        epochs = "the recipe's epochs" if self.epochs is None else f"{self.epochs} epochs"
        return f"scale {self.name}: {sizes}; {faces}; {epochs}"


SCALES = {
    scale.name: scale
    for scale in (
        Scale(name="paper", input_sizes={"inception_resnet_v2": 139, "resnet50": 197}),
        Scale(
            name="small",
            input_sizes={"inception_resnet_v2": 75, "resnet50": 64},
            training_faces=2000,
            epochs=4,
        ),
    )
}


def get_variants(variants: Collection[str | Variant] | None) -> list[Variant]:
    """Return variants by their names, or themselves; None is all of the paper's.

    Raises:
        ConfigError: no variant has that name, or none is given.
    """
    known = {variant.name: variant for variant in VARIANTS}
    chosen = [
        look_up("variant", variant, known) if isinstance(variant, str) else variant
        for variant in (VARIANTS if variants is None else variants)
    ]
    if not chosen:
        raise ConfigError(f"No variant is given. Variants: {', '.join(known)}")
    return chosen
