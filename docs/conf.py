"""How Sphinx makes the manual of these pages: `make docs`, without a network, warnings being errors."""

import traind

project = "traind"
author = "the traind authors"
project_copyright = "the traind authors"
version = release = traind.__version__
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 3
exclude_patterns = ["tables.py", "conf.py"]
html_theme = "furo"
html_title = f"traind {release}"
html_copy_source = False
html_show_sphinx = False
suppress_warnings = ["misc.highlighting_failure"]  # blocks of output, and JSON with comments or dots
