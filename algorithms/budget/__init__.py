"""What a command would cost before it runs: ``python run.py ... --plan``. No weights are read, nothing is written."""
