"""A study's report: read once into a view, then shown as tables, figures, CSV files, Markdown and one HTML page."""
