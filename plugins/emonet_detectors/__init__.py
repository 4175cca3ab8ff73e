"""Built-in plugin: face detectors."""

from collections.abc import Mapping

from emonet.plugin import Detector, DetectorSpec, Json, hookimpl


@hookimpl
def emonet_register_detectors() -> list[DetectorSpec]:
    """Register ``yunet``, ``dlib_hog`` and ``whole_image``."""
    return [
        DetectorSpec(
            name="yunet",
            build=build_yunet,
            defaults={
                "model_path": None,
                "score_threshold": 0.8,
                "nms_threshold": 0.3,
                "max_side": 1280,
                "tilted": False,
            },
            machine_settings=("model_path",),
            summary="OpenCV's YuNet: fast; finds small and turned faces, with five landmarks",
        ),
        DetectorSpec(
            name="dlib_hog",
            build=build_dlib_hog,
            defaults={"upsample": 1, "score_threshold": 0.2, "max_side": 1600},
            summary="dlib's HOG detector: finds frontal faces; the detector of the paper",
        ),
        DetectorSpec(
            name="whole_image",
            build=build_whole_image,
            summary="no detection: takes the whole image as one face",
        ),
    ]


def build_dlib_hog(config: Mapping[str, Json]) -> Detector:
    """Build dlib's HOG detector."""
    from emonet_detectors.dlib_hog import DlibHog

    return DlibHog(**config)


def build_yunet(config: Mapping[str, Json]) -> Detector:
    """Build OpenCV's YuNet detector."""
    from emonet_detectors.yunet import YuNet

    return YuNet(**config)


def build_whole_image(config: Mapping[str, Json]) -> Detector:
    """Build the detector that takes the whole image as one face."""
    from emonet_detectors.whole_image import WholeImage

    return WholeImage(**config)
