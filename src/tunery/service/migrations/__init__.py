"""
The steps from one version of the tables to the next, taken by `database/schema.py` when a data folder is opened.

A step that was released is never edited; a change of `database/tables.py` comes with a new step, one change each.
"""
