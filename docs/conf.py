"""The pages of this folder as a site: `make docs`."""

from __future__ import annotations

from onnxq import __version__

project = "onnxq"
copyright = "the authors of onnxq"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"onnxq {version}"
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links to files beside docs, which tests/test_docs.py looks at
autodoc_member_order = "bysource"
