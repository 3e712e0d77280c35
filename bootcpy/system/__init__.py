"""The running machine, one outside thing for each file."""
