"""What Sphinx is told of the site; `kdlab.tools.site.build` calls it."""

project = "kdlab"
language = "en"
extensions = ["myst_nb", "sphinx_copybutton", "kdlab.tools.site.formulas"]

# Markdown as GitHub reads it, and formulas; characters that mean something to MyST alone do not.
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_dmath_double_inline = True
myst_disable_syntax = ["myst_line_comment", "myst_block_break", "myst_target"]
myst_heading_anchors = 6
nb_execution_mode = "off"
nb_merge_streams = True
html_math_renderer = "kdlab"

html_theme = "furo"
html_title = "kdlab"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_use_index = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_selector = "div.highlight pre"
copybutton_prompt_text = ">>> "
