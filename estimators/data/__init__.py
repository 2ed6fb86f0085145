"""Data sets: those with a name, tables and arrays in files, and how they are split and scaled."""
