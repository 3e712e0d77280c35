"""The words of the commands about a host, and its status as text."""
