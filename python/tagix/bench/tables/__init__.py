"""The tables, each a module with a grid of jobs and a report of their results."""
