"""Sphinx's settings for the book; read by :func:`diffnum.lab.book.build`."""

import os
import sys
from pathlib import Path

root = Path(os.environ["DIFFNUM_BOOK_ROOT"])
sys.path.insert(0, str(root))

project = "diffnum"
author = copyright = "the diffnum authors"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "diffnum.lab.book.extension",
]
root_doc = "index"
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables and formulas that a cell displays
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
smartquotes_action = "D"  # dashes only

viewcode_follow_imported_members = False

html_theme = "furo"
html_title = "diffnum"
html_math_renderer = "mathml"
html_static_path = ["book.css"]
html_css_files = ["book.css"]
html_show_sphinx = False
html_copy_source = False
html_use_opensearch = ""
pygments_style = "friendly"

default_role = "literal"
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 100
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_use_admonition_for_notes = False
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
