#!/bin/sh
# Makes the bundled models again: sh benchmarks/train_bundled.sh FER2013.csv YUNET.onnx
# Stopped at any moment and started again, it goes on. "fast" alone would be the bundled model,
# so folders are written ./fast.
set -eu
data="$1" yunet="$2"
common="--data $data --dtype float16 --license mit"
scratch="$common --recipe scratch"
spoilt="--recipe-option augmentation.brightness=10 --recipe-option augmentation.compress=0.15 \
    --recipe-option label_smoothing=0"
gentle="--recipe-option mixup=0 --recipe-option calm_epochs=0 \
    --recipe-option augmentation.rotation=10 --recipe-option augmentation.zoom=0.1 \
    --recipe-option augmentation.shift=0.06 --recipe-option augmentation.contrast=0 \
    --recipe-option augmentation.brightness=0 --recipe-option augmentation.erase=0"
covered="--recipe-option augmentation.erase=0.2"
taught="$scratch $spoilt $covered --teacher-share 0.6 --recipe-option calm_epochs=4"
tuned="$common --recipe tune $spoilt --precision bfloat16 --recipe-option batch_size=128 \
    --recipe-option average=0.998"

together() { # name options or members...: an ensemble over each face and its mirror image
    name="$1"
    shift
    if [ ! -e "$name/config.json" ]; then
        emonet ensemble "$@" --data "$data" --split PublicTest --test-time-augmentation mirror \
            --dtype float16 --license mit --out "$name"
    fi
}
frame() { # how much of what a detector finds the model is to see
    emonet framing "./$1" --data "$data" --detector yunet --detector-option "model_path=$yunet"
}
finish() {
    emonet calibrate "./$1" --data "$data" --split PublicTest
    emonet evaluate --model "./$1" --data "$data" --split PublicTest --robustness --note
}

# The first network was trained before the recipe mixed faces and covered parts of them.
emonet train $scratch $gentle --backbone resnet18 --epochs 52 --seed 0 --out light
emonet train $scratch --backbone resnet18 --epochs 64 --seed 1 --out mixed

# Both together teach a third.
together pair ./light ./mixed
emonet distill ./pair $taught --backbone vgg --epochs 52 --seed 2 --out plain \
    --recipe-option mixup=0 --recipe-option augmentation.exposure=0.8

# All three teach a wider one.
together trio ./light ./mixed ./plain
emonet calibrate ./trio --data "$data" --split PublicTest
emonet distill ./trio $taught --backbone vgg --backbone-option width=48 --epochs 64 --seed 5 \
    --out broad --recipe-option mixup=0.2 --recipe-option augmentation.exposure=1 --precision bfloat16

# All four teach one that looks at every pixel, and show the first what bright and compressed
# faces look like.
together quartet ./light ./mixed ./plain ./broad
emonet distill ./quartet $taught --backbone resnet18 --backbone-option stem_stride=1 --epochs 60 \
    --seed 12 --teacher-share 0.5 --out sharp --recipe-option mixup=0.2 \
    --recipe-option augmentation.exposure=1 --precision bfloat16
emonet distill ./quartet $tuned $covered --recipe-option augmentation.exposure=1 \
    --recipe-option calm_epochs=2 --start-from ./light --epochs 12 --seed 8 --teacher-share 0.3 \
    --out light2

# A large one learns from the labels alone. With three of those before it teaches the smallest, which
# then computes in int8; one that looks at every pixel; and, in small steps, two of them about faces
# that are brighter still. These three are the default.
emonet train $scratch $gentle --backbone vgg --backbone-option width=64 \
    --backbone-option dropout=0.2 --epochs 60 --seed 31 --out drop --precision bfloat16 \
    --recipe-option augmentation.exposure=1 --recipe-option augmentation.compress=0.15
together panel --mean ./light2 ./sharp ./drop ./broad
emonet distill ./panel $scratch --backbone resnet18 --backbone-option width=16 --epochs 80 \
    --seed 97 --out quarter --teacher-share 0.6 --precision bfloat16 --recipe-option calm_epochs=4 \
    --recipe-option label_smoothing=0 --recipe-option mixup=0 \
    --recipe-option augmentation.contrast=0 --recipe-option augmentation.brightness=0 \
    --recipe-option augmentation.exposure=1.25 --recipe-option augmentation.compress=0.15 \
    --recipe-option augmentation.erase=0.15
if [ ! -e tiny/config.json ]; then
    emonet quantise ./quarter --data "$data" --dtype float16 --license mit --tolerance 0.3 --out tiny
fi
frame tiny
finish tiny
emonet distill ./panel $tuned --recipe-option augmentation.exposure=1.5 --start-from ./sharp \
    --recipe-option augmentation.erase=0 --epochs 7 --seed 52 --teacher-share 0.3 --out bright
emonet distill ./panel $tuned --recipe-option augmentation.exposure=1.5 --start-from ./light2 \
    --recipe-option augmentation.erase=0.1 --epochs 14 --seed 72 --teacher-share 0.3 --out light3
emonet distill ./panel $scratch $gentle --backbone resnet18 --backbone-option stem_stride=1 \
    --backbone-option dropout=0.1 --epochs 56 --seed 101 --teacher-share 0.5 --out fast \
    --precision bfloat16 --recipe-option label_smoothing=0 \
    --recipe-option augmentation.exposure=1.5 --recipe-option augmentation.compress=0.15
# Calibrating "fast" comes last: an ensemble takes a member's temperature over.
frame fast
frame light3
together default --mean ./light3 ./bright ./fast
finish default
finish fast
