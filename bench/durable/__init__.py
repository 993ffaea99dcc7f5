"""Two command-line processes at once, on an embedded workflow library and on our journal."""
