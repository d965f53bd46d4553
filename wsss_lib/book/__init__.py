"""What the chapters need besides the methods: the run they share, explorers, checks of the exercises."""
