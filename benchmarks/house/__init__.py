"""What do all questions share? Servers, load, rounds, results, plots."""
