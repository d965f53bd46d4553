"""The methods, one idea a file: tensors in, tensors out, and nothing of disks."""
