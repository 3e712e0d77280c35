"""What several commands do first or last."""
