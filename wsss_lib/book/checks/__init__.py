"""Checks of the exercises' answers: one module for each chapter."""
