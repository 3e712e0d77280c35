"""What an image is: its name, its manifest, what a policy demands of it."""
