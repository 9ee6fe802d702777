"""What does each command of ``python -m lab_utils_mt`` do? One module, or a few, for each."""
