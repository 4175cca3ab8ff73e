"""The networks of the paper, and the scales of its reproduction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from emonet.config import look_up
from emonet.errors import ConfigError
from emonet.plugin import Json
from emonet.support.counting import counted
from emonet.training.recipes import Precision

#: Accuracy of the paper's ensemble, 0..1.
PAPER_ENSEMBLE = 0.7339


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the paper's networks, with its accuracy (0..1) in Table 2."""

    name: str
    backbone: str
    backbone_config: Mapping[str, Json] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    paper_accuracy: float


#: Sorted by the paper's accuracy.
VARIANTS = (
    Variant(name="inception_resnet_v2", backbone="inception_resnet_v2", paper_accuracy=0.6275),
    Variant(
        name="inception_resnet_v2_bovw",
        backbone="inception_resnet_v2",
        features=("bovw",),
        paper_accuracy=0.6455,
    ),
    Variant(
        name="resnet50",
        backbone="resnet50",
        backbone_config={"variant": "vggface2"},
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
    """The size of the experiment, and the training that suits it.

    Attributes:
        input_sizes: side of each backbone's input, pixels.
        training_faces: number of training faces, evenly spread over the training split; None
            uses all.
        epochs: epochs of the recipe; None keeps the recipe's number.
        recipe: name of the recipe.
        pretrained: whether the networks start from pretrained weights, as in the paper.
        precision: precision of training.
    """

    name: str
    input_sizes: Mapping[str, int]
    training_faces: int | None = None
    epochs: int | None = None
    recipe: str = "paper"
    pretrained: bool = True
    precision: Precision = "float32"

    def describe(self, faces: int) -> str:
        """Return the scale in one line, with the number of training faces that it really has."""
        sizes = ", ".join(f"{name} at {side}x{side}" for name, side in self.input_sizes.items())
        epochs = "the recipe's epochs" if self.epochs is None else counted(self.epochs, "epoch")
        return (
            f"scale {self.name}: {sizes}; {counted(faces, 'training face')}; "
            f"recipe {self.recipe}, {epochs}"
        )


SCALES = {
    scale.name: scale
    for scale in (
        Scale(name="paper", input_sizes={"inception_resnet_v2": 139, "resnet50": 197}),
        # The recipe paper trains the head first, and random weights give it nothing to learn from.
        Scale(
            name="medium",
            input_sizes={"inception_resnet_v2": 75, "resnet50": 64},
            epochs=25,
            recipe="scratch",
            pretrained=False,
            precision="bfloat16",
        ),
        Scale(
            name="small",
            input_sizes={"inception_resnet_v2": 75, "resnet50": 64},
            training_faces=2000,
            epochs=4,
        ),
    )
}


def get_variants(variants: Collection[str | Variant] | None) -> list[Variant]:
    """Return Variants from names or Variants; None returns the paper's four."""
    known = {variant.name: variant for variant in VARIANTS}
    chosen = [
        look_up("variant", variant, known) if isinstance(variant, str) else variant
        for variant in (VARIANTS if variants is None else variants)
    ]
    if not chosen:
        raise ConfigError(f"variants is empty. Choose from: {', '.join(known)}")
    return chosen
