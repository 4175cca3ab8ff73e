"""Load weights from a file into a network, layer by layer."""

from pathlib import Path

import numpy as np

from emonet.plugin import WeightsError, locate_file

#: SHA-256 of known files by name. A file with the name but other content is refused.
KNOWN = {
    "mobilenet_v1_vggface2_faceres.weights.h5": (
        "71965ea52a0f840e58c9afcbb1d0edde9d73c8a3a6a58a4665fba4ff96481ec4"
    ),
}


def fill(network, source):
    """Load a file's weights into a Keras model by the names of its layers.

    Args:
        network: the model to load weights into.
        source: path, ``hf://org/name/file`` or ``https://`` URL of an HDF5 file written by
            Keras 3, or of a safetensors file with names such as ``conv1/kernel``. Other
            arrays in the file, such as a classifier's, are ignored.

    Raises:
        ConfigError: the source is none of these.
        ModelNotFoundError: there is no such file.
        HubError: the file can't be downloaded.
        WeightsError: the file was altered, can't be read, or lacks weights of a layer. The
            error lists all such layers; the network is unchanged.
    """
    path = locate_file(source, sha256=KNOWN.get(Path(str(source)).name))
    stored = _read_safetensors(path) if path.suffix == ".safetensors" else _read_hdf5(path)
    layers = [layer for layer in network.layers if layer.weights]
    found = {layer: _arrays_of(layer, stored) for layer in layers}
    missing = [layer.name for layer in layers if not _fit(layer, found[layer])]
    if missing:
        raise WeightsError(
            f"mobilenet: {path} has no weights for {len(missing)} of {len(layers)} layers: "
            f"{', '.join(missing)}. Their arrays are missing, not finite, or have other shapes. "
            f"Use a file of a MobileNet v1 with the same alpha."
        )
    for layer, arrays in found.items():
        layer.set_weights(arrays)


def _read_hdf5(path):
    """Return arrays by layer and position, such as ``conv1/0``."""
    import h5py

    arrays = {}

    def collect(_, group):
        # Keras stores a layer's weights in a group with the layer's name.
        if isinstance(group, h5py.Group) and "name" in group.attrs:
            for key, value in group.items():
                if isinstance(value, h5py.Dataset):
                    arrays[f"{group.attrs['name']}/{key}"] = value[()]

    try:
        with h5py.File(path) as file:
            file.visititems(collect)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"mobilenet: {path} is not a valid HDF5 file: {error}") from error
    return arrays


def _read_safetensors(path):
    """Return arrays by layer and weight, such as ``conv1/kernel``."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"mobilenet: {path} is not a safetensors file: {error}") from error


def _arrays_of(layer, stored):
    """Return the arrays for a layer's weights; None for each missing array."""
    return [
        stored.get(f"{layer.name}/{weight.name}", stored.get(f"{layer.name}/{position}"))
        for position, weight in enumerate(layer.weights)
    ]


def _fit(layer, arrays):
    return all(
        array is not None and array.shape == tuple(weight.shape) and np.isfinite(array).all()
        for array, weight in zip(arrays, layer.weights, strict=True)
    )
