"""A study's figures: one file each, whose ``draw(view, path) -> bool`` says whether there was anything to draw."""
