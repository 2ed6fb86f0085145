"""Curves, bars, images and tables as text: pure functions, shared by the app and the command line."""
