"""Images in the repository: fetched, merged, believed, exported."""
