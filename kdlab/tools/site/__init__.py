"""The course as a static site: `source` says what is in it, `build` lets Sphinx make it.

`conf` is what Sphinx is told, `formulas` how it writes a formula, `check` looks at the site in a
browser, and `static` holds its style and its script.
"""
