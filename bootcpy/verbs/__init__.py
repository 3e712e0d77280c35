"""What each command does, in order; one file for a command."""
