"""Fills a network from a file of weights, layer by layer."""

from pathlib import Path

import numpy as np

from emonet.plugin import WeightsError, locate_file

#: SHA-256 of files that are known, by name: another content would be no such file.
KNOWN = {
    "mobilenet_v1_vggface2_faceres.weights.h5": (
        "71965ea52a0f840e58c9afcbb1d0edde9d73c8a3a6a58a4665fba4ff96481ec4"
    ),
}


def fill(network, source):
    """Give every layer of a Keras model its weights, by the layer's name.

    Args:
        network: whose layers are filled.
        source: a path, ``hf://org/name/file`` or an ``https://`` address of an HDF5 file as
            Keras 3 writes it, or of a safetensors file with names such as ``conv1/kernel``.
            What it holds besides, such as a classifier, is left out.

    Raises:
        ConfigError: the source is none of these.
        ModelNotFoundError: there is no such file.
        HubError: it can't be fetched.
        WeightsError: it was altered, can't be read, or leaves a layer unfilled; every such
            layer is named, and none is changed.
    """
    path = locate_file(source, sha256=KNOWN.get(Path(str(source)).name))
    stored = _read_safetensors(path) if path.suffix == ".safetensors" else _read_hdf5(path)
    layers = [layer for layer in network.layers if layer.weights]
    found = {layer: _arrays_of(layer, stored) for layer in layers}
    unfilled = [layer.name for layer in layers if not _fit(layer, found[layer])]
    if unfilled:
        raise WeightsError(
            f"mobilenet: {path} does not fill {len(unfilled)} of {len(layers)} layers: "
            f"{', '.join(unfilled)}. They are missing in it, or have other shapes: is it a "
            f"MobileNet v1 of this alpha?"
        )
    for layer, arrays in found.items():
        layer.set_weights(arrays)


def _read_hdf5(path):
    """Return arrays by layer and position: ``conv1/0``."""
    import h5py

    arrays = {}

    def collect(_, group):
        # Keras writes a layer's weights into a group that has the layer's name.
        if isinstance(group, h5py.Group) and "name" in group.attrs:
            for key, value in group.items():
                if isinstance(value, h5py.Dataset):
                    arrays[f"{group.attrs['name']}/{key}"] = value[()]

    try:
        with h5py.File(path) as file:
            file.visititems(collect)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"mobilenet: {path} is not a sound HDF5 file: {error}") from error
    return arrays


def _read_safetensors(path):
    """Return arrays by layer and weight: ``conv1/kernel``."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"mobilenet: {path} is not a safetensors file: {error}") from error


def _arrays_of(layer, stored):
    """Return the arrays for a layer's weights, None for each that the file lacks."""
    return [
        stored.get(f"{layer.name}/{weight.name}", stored.get(f"{layer.name}/{position}"))
        for position, weight in enumerate(layer.weights)
    ]


def _fit(layer, arrays):
    return all(
        array is not None and array.shape == tuple(weight.shape) and np.isfinite(array).all()
        for array, weight in zip(arrays, layer.weights, strict=True)
    )
