"""Contract checks for plugin authors to run in their own tests.

A test of a backbone with pytest::

    @pytest.mark.parametrize("check", backbone_checks("acme_net"), ids=str)
    def test_backbone(check):
        check()

Install the plugin first, for example with ``pip install -e .``.
"""

from emonet.testing.backbones import backbone_checks
from emonet.testing.checks import Check
from emonet.testing.detectors import detector_checks
from emonet.testing.extractors import feature_extractor_checks

__all__ = ["Check", "backbone_checks", "detector_checks", "feature_extractor_checks"]
