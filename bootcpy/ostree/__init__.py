"""libostree, and nothing else imports gi."""
