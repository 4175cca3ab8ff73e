"""Convert results for other tools: supervision, FiftyOne and Label Studio.

Each function imports its tool when it is called. Label Studio takes JSON, so it needs no package.
"""

from emonet.integrations.fiftyone import to_fiftyone
from emonet.integrations.label_studio import label_studio_config, to_label_studio
from emonet.integrations.supervision import from_supervision, to_supervision

__all__ = [
    "from_supervision",
    "label_studio_config",
    "to_fiftyone",
    "to_label_studio",
    "to_supervision",
]
