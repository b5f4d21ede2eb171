"""Pictures that answer at once: drawn in the browser, from data that Python measured."""
