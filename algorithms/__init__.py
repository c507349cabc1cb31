"""What learns: advantages, layer masks, the trainer, and (in ``workers``) the only code that touches verl."""
