"""What is on disk, and how it becomes tensors: the one layout, photos and tags, augmentation, files of maps."""
