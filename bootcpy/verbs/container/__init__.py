"""The commands `bootc container ...`."""
