#!/bin/sh
# Train the bundled models: sh benchmarks/train_bundled.sh FER2013.csv
# If the script is interrupted, run it again to continue. Folders are written as ./fast, because
# "fast" alone is the bundled model.
set -eu
data="$1"
common="--data $data --dtype float16 --license mit"
scratch="$common --recipe scratch"
spoilt="--recipe-option augmentation.brightness=10 --recipe-option augmentation.jpeg_compression=0.15 \
    --recipe-option label_smoothing=0"
gentle="--recipe-option mixup=0 --recipe-option no_mixup_epochs=0 \
    --recipe-option augmentation.rotation=10 --recipe-option augmentation.zoom=0.1 \
    --recipe-option augmentation.shift=0.06 --recipe-option augmentation.contrast=0 \
    --recipe-option augmentation.brightness=0 --recipe-option augmentation.random_erasing=0"
covered="--recipe-option augmentation.random_erasing=0.2"
taught="$scratch $spoilt $covered --teacher-weight 0.6 --recipe-option no_mixup_epochs=4"
tuned="$common --recipe tune $spoilt --precision bfloat16 --recipe-option batch_size=128 \
    --recipe-option ema_decay=0.998"

together() { # name, then options and members: an ensemble with horizontal-flip augmentation
    name="$1"
    shift
    if [ ! -e "$name/config.json" ]; then
        emonet ensemble "$@" --data "$data" --split PublicTest --test-time-augmentation horizontal_flip \
            --dtype float16 --license mit --out "$name"
    fi
}
frame() { # measure how dlib's boxes frame the training faces; training measures YuNet's
    emonet framing "./$1" --data "$data" --detector dlib_hog
}
finish() {
    emonet calibrate "./$1" --data "$data" --split PublicTest
    emonet evaluate --model "./$1" --data "$data" --split PublicTest --robustness --note
}

# Train two networks on the labels. The first predates mixup and random erasing in the recipe.
emonet train $scratch $gentle --backbone resnet18 --epochs 52 --seed 0 --out light
emonet train $scratch --backbone resnet18 --epochs 64 --seed 1 --out mixed

# Distil both into a third network.
together pair ./light ./mixed
emonet distill ./pair $taught --backbone vgg --epochs 52 --seed 2 --out plain \
    --recipe-option mixup=0 --recipe-option augmentation.exposure=0.8

# Distil all three into a wider network.
together trio ./light ./mixed ./plain
emonet calibrate ./trio --data "$data" --split PublicTest
emonet distill ./trio $taught --backbone vgg --backbone-option width=48 --epochs 64 --seed 5 \
    --out broad --recipe-option mixup=0.2 --recipe-option augmentation.exposure=1 --precision bfloat16

# Distil all four into a network with stem stride 1. Fine-tune the first network on bright and
# compressed faces.
together quartet ./light ./mixed ./plain ./broad
emonet distill ./quartet $taught --backbone resnet18 --backbone-option stem_stride=1 --epochs 60 \
    --seed 12 --teacher-weight 0.5 --out sharp --recipe-option mixup=0.2 \
    --recipe-option augmentation.exposure=1 --precision bfloat16
emonet distill ./quartet $tuned $covered --recipe-option augmentation.exposure=1 \
    --recipe-option no_mixup_epochs=2 --start-from ./light --epochs 12 --seed 8 --teacher-weight 0.3 \
    --out light2

# Train a large network on the labels. Distil it and three earlier networks into the smallest network,
# quantised to int8 afterwards, and into a network with stem stride 1 ("fast"). Fine-tune two earlier
# networks on brighter faces. These two and "fast" are the default model.
emonet train $scratch $gentle --backbone vgg --backbone-option width=64 \
    --backbone-option dropout=0.2 --epochs 60 --seed 31 --out drop --precision bfloat16 \
    --recipe-option augmentation.exposure=1 --recipe-option augmentation.jpeg_compression=0.15
together panel --mean ./light2 ./sharp ./drop ./broad
emonet distill ./panel $scratch --backbone resnet18 --backbone-option width=16 --epochs 80 \
    --seed 97 --out quarter --teacher-weight 0.6 --precision bfloat16 --recipe-option no_mixup_epochs=4 \
    --recipe-option label_smoothing=0 --recipe-option mixup=0 \
    --recipe-option augmentation.contrast=0 --recipe-option augmentation.brightness=0 \
    --recipe-option augmentation.exposure=1.25 --recipe-option augmentation.jpeg_compression=0.15 \
    --recipe-option augmentation.random_erasing=0.15
if [ ! -e tiny/config.json ]; then
    emonet quantise ./quarter --data "$data" --dtype float16 --license mit --tolerance 0.3 --out tiny
fi
frame tiny
finish tiny
emonet distill ./panel $tuned --recipe-option augmentation.exposure=1.5 --start-from ./sharp \
    --recipe-option augmentation.random_erasing=0 --epochs 7 --seed 52 --teacher-weight 0.3 --out bright
emonet distill ./panel $tuned --recipe-option augmentation.exposure=1.5 --start-from ./light2 \
    --recipe-option augmentation.random_erasing=0.1 --epochs 14 --seed 72 --teacher-weight 0.3 --out light3
emonet distill ./panel $scratch $gentle --backbone resnet18 --backbone-option stem_stride=1 \
    --backbone-option dropout=0.1 --epochs 56 --seed 101 --teacher-weight 0.5 --out fast \
    --precision bfloat16 --recipe-option label_smoothing=0 \
    --recipe-option augmentation.exposure=1.5 --recipe-option augmentation.jpeg_compression=0.15
# Calibrate "fast" last, because an ensemble takes over the temperatures of its members.
frame fast
frame light3
together default --mean ./light3 ./bright ./fast
finish default
finish fast
