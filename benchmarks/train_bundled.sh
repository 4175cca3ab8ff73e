#!/bin/sh
# Makes the bundled models again: sh benchmarks/train_bundled.sh FER2013.csv YUNET.onnx
# Stopped at any moment and started again, it goes on. Two processor cores take 1.5 to 2 hours.
set -eu
emonet train --data "$1" --backbone resnet18 --recipe scratch --epochs 52 --seed 0 --dtype float16 --license mit --out default
emonet framing default --data "$1" --detector yunet --detector-option "model_path=$2"
emonet evaluate --data "$1" --split PublicTest --model default --json
