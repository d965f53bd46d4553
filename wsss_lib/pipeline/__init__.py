"""From files to files: stages, runs that can be stopped at any moment, measurements, the report."""
