"""The process that answers the Explore and Data screens, and the app's connection to it."""
