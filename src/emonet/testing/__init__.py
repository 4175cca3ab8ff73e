"""The contract as checks, for plugin authors to run in tests of their own.

With pytest, one test for a backbone is::

    @pytest.mark.parametrize("check", backbone_checks("acme_net"), ids=str)
    def test_backbone(check):
        check()

The plugin must be installed where the tests run; ``pip install -e .`` does it.
"""

from emonet.testing.backbones import backbone_checks
from emonet.testing.checks import Check
from emonet.testing.detectors import detector_checks
from emonet.testing.extractors import feature_extractor_checks

__all__ = ["Check", "backbone_checks", "detector_checks", "feature_extractor_checks"]
