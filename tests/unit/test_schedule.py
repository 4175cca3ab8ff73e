"""Decisions between epochs, and recipes as data."""

import json
from dataclasses import asdict, replace

import pytest

from emonet.data.augmentation import Augmentation
from emonet.errors import ConfigError
from emonet.records import EpochRecord, ValidationFigures
from emonet.training.recipes import RECIPES, Phase, Recipe, get_recipe
from emonet.training.schedule import best_index, learning_rate, should_stop


def history(
    val_losses: list[float], val_accuracies: list[float] | None = None
) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=i + 1,
            phase=0,
            learning_rate=0.1,
            loss=1.0,
            accuracy=0.5,
            val_loss=loss,
            val_accuracy=0.5 if val_accuracies is None else val_accuracies[i],
            seconds=1.0,
        )
        for i, loss in enumerate(val_losses)
    ]


def phase(**changes) -> Phase:
    return Phase(**{"epochs": 100, "learning_rate": 0.8, **changes})


@pytest.mark.parametrize(
    ("val_losses", "rate"),
    [
        ([], 0.8),
        ([1.0], 0.8),
        ([1.0, 1.1], 0.8),
        ([1.0, 1.1, 1.2], 0.4),
        ([1.0, 1.0, 1.0], 0.4),  # equal is no improvement
        ([1.0, 1.1, 0.9, 1.0], 0.8),  # an improvement starts the wait anew
        ([1.0, 1.1, 0.9, 1.0, 1.0], 0.4),
        ([1.0, 1.1, 1.2, 1.1], 0.4),  # so does a step down
        ([1.0, 1.1, 1.2, 1.1, 1.1], 0.2),
        ([1.0, 1.1, 1.2, 1.1, 0.5, 0.6, 0.6], 0.2),  # measured against the best so far
    ],
)
def test_plateau_halves_after_its_patience(val_losses: list[float], rate: float) -> None:
    assert learning_rate(
        phase(schedule="plateau", plateau_patience=2), history(val_losses)
    ) == pytest.approx(rate)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_only_plateau_looks_at_the_validation_loss(schedule: str) -> None:
    assert learning_rate(phase(schedule=schedule), history([1.0] * 20)) == 0.8


@pytest.mark.parametrize(
    ("losses", "accuracies", "monitor", "best"),
    [
        ([0.9, 0.5, 0.7], [0.9, 0.1, 0.2], "val_loss", 1),
        ([0.9, 0.5, 0.7], [0.1, 0.2, 0.9], "val_accuracy", 2),
        ([0.5, 0.9, 0.5], [0.1, 0.9, 0.9], "val_loss", 0),  # the earliest of equals
        ([0.5, 0.9, 0.5], [0.1, 0.9, 0.9], "val_accuracy", 2),  # of equals the lowest loss
        ([0.5, 0.9, 0.9], [0.1, 0.9, 0.9], "val_accuracy", 1),
        ([0.5], [0.1], "val_loss", 0),
    ],
)
def test_the_best_epoch_is_the_surest_and_then_the_earliest_of_the_best(
    losses: list[float], accuracies: list[float], monitor: str, best: int
) -> None:
    assert best_index(history(losses, accuracies), monitor) == best


@pytest.mark.parametrize(
    ("losses", "accuracies", "monitor", "best"),
    [
        ([0.8, 0.9], [0.3, 0.4], "val_loss", 0),
        ([0.8, 0.9], [0.3, 0.4], "val_accuracy", 2),
        ([0.7, 0.9], [0.5, 0.4], "val_loss", 0),  # the earliest of equals
        ([0.6, 0.9], [0.3, 0.4], "val_loss", 1),
    ],
)
def test_the_weights_before_training_compete_with_the_epochs(
    losses: list[float], accuracies: list[float], monitor: str, best: int
) -> None:
    start = ValidationFigures(val_loss=0.7, val_accuracy=0.35)
    assert best_index([start, *history(losses, accuracies)], monitor) == best


@pytest.mark.parametrize(
    ("val_losses", "stops"),
    [
        ([], False),
        ([1.0], False),
        ([1.0, 1.1], False),
        ([1.0, 1.1, 1.2], True),
        ([1.0, 1.0, 1.0], True),
        ([1.0, 1.1, 0.9, 1.0], False),
        ([1.0, 1.1, 0.9, 1.0, 1.0], True),
    ],
)
def test_a_phase_stops_after_its_patience(val_losses: list[float], stops: bool) -> None:
    assert should_stop(phase(patience=2), history(val_losses), "val_loss") is stops


def test_patience_watches_the_figure_that_is_monitored() -> None:
    better_loss_only = history([1.0, 0.9, 0.8], [0.5, 0.5, 0.5])
    assert should_stop(phase(patience=2), better_loss_only, "val_accuracy")
    assert not should_stop(phase(patience=2), better_loss_only, "val_loss")


@pytest.mark.parametrize("patience", [None, 50])
def test_a_phase_stops_after_its_epochs(patience: int | None) -> None:
    three = phase(epochs=3, patience=patience)
    assert not should_stop(three, history([1.0, 0.9]), "val_loss")
    assert should_stop(three, history([1.0, 0.9, 0.8]), "val_loss")


def test_without_patience_no_plateau_stops_a_phase() -> None:
    assert not should_stop(phase(patience=None), history([1.0] * 99), "val_loss")


def test_the_paper_recipe_is_the_papers() -> None:
    paper = RECIPES["paper"]
    head, everything = paper.phases
    assert (head.epochs, head.backbone, head.optimizer) == (5, "frozen", "adam")
    assert (head.learning_rate, head.schedule, head.patience) == (1e-3, "constant", None)
    assert (everything.epochs, everything.backbone) == (50, "trained")
    # emonet's sgd is Nesterov's; test_training holds that to be so.
    assert (everything.optimizer, everything.momentum) == ("sgd", 0.9)
    assert (everything.learning_rate, everything.schedule) == (1e-3, "plateau")
    assert everything.patience is not None
    assert everything.patience > everything.plateau_patience
    assert (paper.batch_size, paper.monitor, paper.ema_decay, paper.mixup) == (64, "val_loss", 0, 0)
    assert paper.augmentation == Augmentation(rotation=10, shear=10, zoom=0.1, horizontal_flip=True)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_count_the_epochs_of_their_phases(recipe: Recipe) -> None:
    assert recipe.epochs == sum(phase.epochs for phase in recipe.phases)
    assert recipe.with_epochs(recipe.epochs) == recipe


@pytest.mark.parametrize(
    ("epochs", "shares"),
    [(55, [5, 50]), (11, [1, 10]), (110, [10, 100]), (3, [1, 2]), (2, [1, 1]), (33, [3, 30])],
)
def test_epochs_are_shared_out_as_the_phases_share_them(epochs: int, shares: list[int]) -> None:
    assert [phase.epochs for phase in RECIPES["paper"].with_epochs(epochs).phases] == shares


@pytest.mark.parametrize("epochs", range(3, 30))
def test_every_phase_keeps_an_epoch_and_none_is_lost(epochs: int) -> None:
    uneven = Recipe(name="uneven", phases=(phase(epochs=50), phase(epochs=1), phase(epochs=1)))
    shares = [phase.epochs for phase in uneven.with_epochs(epochs).phases]
    assert sum(shares) == epochs
    assert min(shares) >= 1


def test_fewer_epochs_shorten_warmup_and_calm() -> None:
    recipe = Recipe(
        name="long",
        phases=(phase(epochs=40, schedule="cosine", warmup_epochs=4),),
        no_mixup_epochs=10,
    )
    short = recipe.with_epochs(10)
    assert short.phases[0].warmup_epochs == 1
    assert short.no_mixup_epochs == 5
    assert short == replace(recipe, phases=short.phases, no_mixup_epochs=5)


def test_fewer_epochs_than_phases_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"2 phases .* got 1"):
        get_recipe("paper", epochs=1)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"'scrach'.* Did you mean 'scratch'\?.*paper, scratch, tune"
    ):
        get_recipe("scrach")


def test_a_recipe_is_taken_as_it_is() -> None:
    recipe = Recipe(name="mine", phases=(phase(),))
    assert get_recipe(recipe) is recipe
    assert get_recipe(recipe, epochs=7, precision="bfloat16") == replace(
        recipe, phases=(phase(epochs=7),), precision="bfloat16"
    )


def test_the_rate_that_is_set_is_the_last_phases() -> None:
    first, last = RECIPES["paper"].with_settings({"learning_rate": 0.02}).phases
    assert (first.learning_rate, last.learning_rate) == (1e-3, 0.02)
    with pytest.raises(ConfigError, match="learning_rate must be a number"):
        RECIPES["tune"].with_settings({"learning_rate": -1})


@pytest.mark.parametrize("phases", [(), phase(), ("sgd",)], ids=["none", "no comma", "a word"])
def test_phases_that_are_no_tuple_of_phases_are_refused(phases) -> None:
    with pytest.raises(ConfigError, match="recipe mine: phases must be a tuple of one Phase"):
        Recipe(name="mine", phases=phases)


@pytest.mark.parametrize(
    "make",
    [
        lambda: phase(optimizer="rmsprop"),
        lambda: phase(schedule="linear"),
        lambda: phase(backbone="half"),
        lambda: Recipe(name="mine", phases=(phase(),), monitor="loss"),
        lambda: get_recipe("scratch", precision="float16"),
    ],
    ids=["optimizer", "schedule", "backbone", "monitor", "precision"],
)
def test_a_choice_that_does_not_exist_is_refused(make) -> None:
    with pytest.raises(ConfigError, match=r"rmsprop|linear|half|loss|float16"):
        make()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -0.1),
        ("learning_rate", "0.1"),
        ("momentum", float("nan")),
        ("momentum", 7.0),
        ("weight_decay", -1),
        ("warmup_epochs", -1),
        ("plateau_patience", 0),
        ("patience", 0),
        ("patience", 1.5),
    ],
)
def test_a_number_that_no_phase_can_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"phase: {name} must be"):
        phase(**{name: value})


def test_a_warmup_that_no_schedule_would_make_is_refused() -> None:
    with pytest.raises(ConfigError, match="warmup_epochs needs the schedule 'cosine'"):
        phase(warmup_epochs=3, schedule="constant")


def test_numbers_of_a_recipe_can_be_replaced():
    scratch = RECIPES["scratch"]
    changed = scratch.with_settings(
        {
            "mixup": 0.4,
            "batch_size": 32,
            "augmentation.random_erasing": 0.5,
            "augmentation.horizontal_flip": False,
        }
    )
    augmentation = replace(scratch.augmentation, random_erasing=0.5, horizontal_flip=False)
    assert changed == replace(scratch, mixup=0.4, batch_size=32, augmentation=augmentation)
    assert scratch.with_settings({}) == scratch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixpu": 1}, "no setting 'mixpu'. Did you mean 'mixup'?"),
        ({"augmentation.random_erase": 1}, "Did you mean 'augmentation.random_erasing'?"),
        ({"phases": 1}, "no setting 'phases'"),
        ({"monitor": "val_loss"}, "no setting 'monitor'"),
        ({"mixup": -0.1}, "mixup must be a number"),
        ({"mixup": "much"}, "mixup must be a number"),
        ({"label_smoothing": 1.5}, "label_smoothing must be a number in 0..1"),
        ({"class_weight_power": 1.5}, "class_weight_power must be a number in 0..1"),
        ({"class_weight_power": "balanced"}, "class_weight_power must be a number in 0..1"),
        ({"augmentation.exposure": 5}, "exposure must be a number in 0..4"),
        ({"augmentation.jpeg_compression": 1.5}, "jpeg_compression must be a number in 0..1"),
        ({"ema_decay": 2}, "ema_decay must be a number in 0..1"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"no_mixup_epochs": 1.5}, "no_mixup_epochs must be a whole number"),
        ({"augmentation.rotation": -1}, "rotation must be a number in 0..180"),
        ({"augmentation.horizontal_flip": 1}, "horizontal_flip must be true or false, got 1"),
    ],
)
def test_numbers_that_no_recipe_has_are_refused(settings, message):
    with pytest.raises(ConfigError) as caught:
        RECIPES["scratch"].with_settings(settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_recipe_comes_back_from_what_a_model_notes(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(asdict(recipe)))) == recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "KeyError.*phases"),
        ({"name": "x", "phases": [{"epochs": 1, "rate": 1}], "augmentation": {}}, "rate"),
        ({"name": "x", "phases": [], "augmentation": {}}, "phases must be"),
        ({"name": "x", "phases": None, "augmentation": {}}, "TypeError"),
    ],
)
def test_what_is_no_recipe_makes_none(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.from_dict(values)


def test_augmentation_is_no_dictionary() -> None:
    with pytest.raises(ConfigError, match="must be an Augmentation, got"):
        replace(RECIPES["scratch"], augmentation={"random_erasing": 0.5})


@pytest.mark.parametrize("epochs", ["3", True, 2.5, 0, -3])
def test_epochs_are_a_whole_number(epochs):
    with pytest.raises(ConfigError, match=r"recipe: epochs must be a whole number in 1\.\.inf"):
        get_recipe("scratch", epochs=epochs)
