"""Boot loaders, the EFI system partition, what a tree brings for booting."""
