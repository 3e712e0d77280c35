"""What commits say of the images they were made from: keys of their metadata, as ostree-ext's."""

# In the commit of an image.
KEY_MANIFEST_DIGEST = "ostree.manifest-digest"
KEY_MANIFEST = "ostree.manifest"
KEY_CONFIG = "ostree.container.image-config"

# In the detached metadata of any deployed commit: the update that was seen last.
CACHED_DIGEST = "ostree-ext.cached.manifest-digest"
CACHED_MANIFEST = "ostree-ext.cached.manifest"
CACHED_CONFIG = "ostree-ext.cached.config"
