"""What every tool shares: flags, run folders, grids, cards, the data doctor's rounds."""
