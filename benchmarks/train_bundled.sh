#!/bin/sh
# Makes the bundled models again: sh benchmarks/train_bundled.sh FER2013.csv YUNET.onnx
# Stopped at any moment and started again, it goes on. "fast" alone would be the bundled model,
# so folders are written ./fast. Two processor cores take about 7 hours.
set -eu
data="$1" yunet="$2"
common="--data $data --recipe scratch --dtype float16 --license mit"
taught="--teacher-share 0.6 --recipe-option label_smoothing=0 --recipe-option mixup=0 \
    --recipe-option calm_epochs=4 --recipe-option augmentation.brightness=10 \
    --recipe-option augmentation.exposure=0.8 --recipe-option augmentation.compress=0.15 \
    --recipe-option augmentation.erase=0.2"

frame() { # how much of what a detector finds the model is to see
    emonet framing "./$1" --data "$data" --detector yunet --detector-option "model_path=$yunet"
}
finish() {
    emonet calibrate "./$1" --data "$data" --split PublicTest
    emonet evaluate --model "./$1" --data "$data" --split PublicTest --robustness --note
}

# The first network was trained before the recipe mixed faces and covered parts of them.
emonet train $common --backbone resnet18 --epochs 52 --seed 0 --out light \
    --recipe-option mixup=0 --recipe-option calm_epochs=0 \
    --recipe-option augmentation.rotation=10 --recipe-option augmentation.zoom=0.1 \
    --recipe-option augmentation.shift=0.06 --recipe-option augmentation.contrast=0 \
    --recipe-option augmentation.brightness=0 --recipe-option augmentation.erase=0
emonet train $common --backbone resnet18 --epochs 64 --seed 1 --out mixed

# Both together teach a third.
if [ ! -e teacher/config.json ]; then
    emonet ensemble ./light ./mixed --data "$data" --split PublicTest \
        --test-time-augmentation mirror --dtype float16 --license mit --out teacher
fi
emonet distill ./teacher $common $taught --backbone vgg --epochs 52 --seed 2 --out fast

frame light
frame mixed
frame fast
if [ ! -e default/config.json ]; then
    emonet ensemble ./light ./mixed ./fast --data "$data" --split PublicTest \
        --test-time-augmentation mirror --dtype float16 --license mit --out default
fi
finish default
finish fast

# All three teach the smallest, which then computes in int8.
emonet distill ./default $common $taught --backbone resnet18 --backbone-option width=16 \
    --epochs 64 --seed 3 --out quarter
if [ ! -e tiny/config.json ]; then
    emonet quantise ./quarter --data "$data" --dtype float16 --license mit --out tiny
fi
frame tiny
finish tiny
