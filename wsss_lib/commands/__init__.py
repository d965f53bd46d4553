"""The commands of the command line, one a file: its options, and a function that does what they ask for."""
