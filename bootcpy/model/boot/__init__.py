"""What starts a machine: kernel arguments, boot entries, the menu, the initramfs."""
