"""Draws the diagrams of the documentation: ``python docs/images/diagrams.py``."""

from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent

# An <img> follows the colour scheme of the page around it, or else the reader's system.
STYLE = """
    text { font: 14px system-ui, sans-serif; fill: #24292f; text-anchor: middle }
    .small { font-size: 12px; fill: #57606a }
    .part { fill: #eef3fb; stroke: #3f6fb5 }
    .plugin { fill: #fdf1e3; stroke: #b5651d }
    .data { fill: none; stroke: #8c959f }
    .bad { fill: #fbe9e9; stroke: #b54040 }
    path { fill: none; stroke: #6e7781; stroke-width: 1.5 }
    marker path { fill: #6e7781; stroke: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .small { fill: #9aa4af }
      .part { fill: #1d2f4d; stroke: #6f9fe6 }
      .plugin { fill: #41301d; stroke: #e0a060 }
      .data { stroke: #7d8590 }
      .bad { fill: #452525; stroke: #e08080 }
      path { stroke: #9aa4af }
      marker path { fill: #9aa4af }
    }"""


class Drawing:
    """Boxes and arrows; every box is named by its centre."""

    def __init__(self, width, height, title):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="{escape(title)}">',
            f"  <title>{escape(title)}</title>",
            f"  <style>{STYLE}\n  </style>",
            '  <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z"/></marker>',
        ]

    def box(self, kind, x, y, width, *lines, height=None):
        """A box with a first line and smaller ones below it."""
        height = height or 20 + 18 * len(lines)
        self.parts.append(
            f'  <rect class="{kind}" x="{x - width / 2:g}" y="{y - height / 2:g}" '
            f'width="{width}" height="{height}" rx="6"/>'
        )
        for index, line in enumerate(lines):
            down = y + 5 + 18 * (index - (len(lines) - 1) / 2)
            self.text(x, down, line, small=index > 0)

    def text(self, x, y, line, *, small=False):
        """One line of text, centred on x."""
        kind = ' class="small"' if small else ""
        self.parts.append(f'  <text{kind} x="{x:g}" y="{y:g}">{escape(line)}</text>')

    def arrow(self, *points):
        """A line through points, with a tip at its end."""
        path = " ".join(f"{x:g} {y:g}" for x, y in points)
        self.parts.append(f'  <path d="M{path}" marker-end="url(#tip)"/>')

    def __str__(self):
        return "\n".join([*self.parts, "</svg>", ""])


def network():
    """One network with two inputs: the paper's Figure 5."""
    d = Drawing(720, 300, "A network with two inputs: pixels and BOVW features")
    d.box("data", 70, 150, 110, "grey face", "48 x 48")
    d.arrow((125, 150), (145, 150), (145, 80), (165, 80))
    d.arrow((145, 150), (145, 220), (165, 220))
    d.box("part", 230, 80, 130, "to RGB", "less the mean face", "resized")
    d.arrow((295, 80), (315, 80))
    d.box("plugin", 385, 80, 140, "backbone", "ResNet-50 or", "Inception-ResNet-v2")
    d.box("plugin", 230, 220, 130, "BOVW", "136 coordinates", "2592 HOG values")
    d.arrow((295, 220), (315, 220))
    d.box("part", 385, 220, 140, "standardised", "dense layer", "128 values")
    d.arrow((455, 80), (475, 80), (475, 150), (495, 150))
    d.arrow((455, 220), (475, 220), (475, 150), (495, 150))
    d.text(385, 135, "2048 or 1536 values", small=True)
    d.box("part", 552, 150, 114, "concatenated", "dropout", "dense, softmax")
    d.arrow((609, 150), (619, 150))
    d.box("data", 669, 150, 100, "probabilities", "of 7 classes")
    d.text(360, 288, "orange: comes from plugins", small=True)
    return d


def training():
    """Two-phase transfer learning, then the ensemble."""
    d = Drawing(720, 300, "Two phases of training for each network, then weights for the ensemble")
    d.box("data", 90, 75, 150, "backbone", "pretrained on", "ImageNet, VGGFace2")
    d.arrow((165, 75), (195, 75))
    d.box("part", 275, 75, 160, "phase 1", "backbone frozen", "head: Adam, 0.001")
    d.arrow((355, 75), (385, 75))
    d.box("part", 465, 75, 160, "phase 2", "everything trained", "SGD, 0.001, halved")
    d.arrow((545, 75), (575, 75))
    d.box("data", 637, 75, 124, "one network", "best epoch kept")
    d.text(360, 24, "four times: two backbones, each with and without BOVW", small=True)
    d.arrow((637, 103), (637, 150), (90, 150), (90, 187))
    d.box("data", 90, 220, 150, "four networks", "their probabilities", "on PublicTest", height=66)
    d.arrow((165, 220), (195, 220))
    d.box("part", 275, 220, 160, "differential evolution", "four weights in 0..1", height=66)
    d.arrow((355, 220), (385, 220))
    d.box("part", 465, 220, 160, "weighted mean", "of probabilities", height=66)
    d.arrow((545, 220), (575, 220))
    d.box("data", 637, 220, 124, "evaluated once", "on PrivateTest", height=66)
    d.text(
        360, 288, "training faces teach, PublicTest chooses, PrivateTest only counts", small=True
    )
    return d


def pipeline():
    """From a photo to labels."""
    d = Drawing(720, 290, "From a photo to the labels of its faces")
    d.box("data", 80, 75, 130, "photo", "path, bytes, array")
    d.arrow((145, 75), (165, 75))
    d.box("part", 230, 75, 130, "RGB pixels", "upright by EXIF")
    d.arrow((295, 75), (315, 75))
    d.box("plugin", 380, 75, 130, "detector", "one box a face")
    d.arrow((445, 75), (465, 75))
    d.box("part", 580, 75, 230, "crops", "framed as in training, grey, resized")
    d.arrow((580, 103), (580, 140), (80, 140), (80, 162))
    d.box("plugin", 80, 195, 130, "networks", "batches of", "up to 128 faces")
    d.arrow((145, 195), (165, 195))
    d.box("part", 230, 195, 130, "ensemble", "weighted mean", height=66)
    d.arrow((295, 195), (315, 195))
    d.box("part", 380, 195, 130, "calibration", "temperature", height=66)
    d.arrow((445, 195), (465, 195))
    d.box("data", 580, 195, 230, "Face", "label, score, probabilities, box", height=66)
    d.text(360, 260, "orange: comes from plugins", small=True)
    return d


def discovery():
    """How a component's name leads to a plugin's code."""
    d = Drawing(720, 330, "How emonet finds the components of plugins")
    d.box("data", 100, 60, 170, "installed packages", "entry points", "in the group emonet")
    d.arrow((185, 60), (215, 60))
    d.box("part", 290, 60, 150, "import", "one plugin by itself", height=74)
    d.arrow((365, 60), (395, 60))
    d.box("plugin", 465, 60, 140, "hooks", "return lists", "of specs")
    d.arrow((535, 60), (565, 60))
    d.box("part", 635, 60, 140, "checks", "types, names", "conflicts")
    d.arrow((290, 97), (290, 152))
    d.arrow((465, 97), (465, 152))
    d.arrow((605, 97), (605, 152))
    d.text(245, 128, "fails", small=True)
    d.text(425, 128, "fails", small=True)
    d.text(572, 128, "fails", small=True)
    d.box(
        "bad", 425, 180, 420, "disabled whole, listed with its cause, warned about once", height=56
    )
    d.arrow((665, 97), (665, 270), (555, 270))
    d.text(688, 190, "fits", small=True)
    d.box("part", 470, 270, 170, "catalogue", "name, spec, origin")
    d.arrow((385, 270), (355, 270))
    d.box("plugin", 280, 270, 150, "build(config)", "imports Keras only now")
    d.arrow((205, 270), (175, 270))
    d.box("data", 100, 270, 150, "a backbone,", "extractor or detector")
    return d


DIAGRAMS = {
    "network": network,
    "training": training,
    "pipeline": pipeline,
    "discovery": discovery,
}


if __name__ == "__main__":
    for name, draw in DIAGRAMS.items():
        (FOLDER / f"{name}.svg").write_text(str(draw()))
