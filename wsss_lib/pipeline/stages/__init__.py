"""The stages, one file each: its settings, what it needs, what it makes, and how.

See `wsss_lib.pipeline.stage` for how to add one. No stage but `supervised` sees a true mask.
"""
