"""
All of tunery's SQL, as functions by resource; callers hold the transaction.

`connection` opens the file and upgrades its tables, `tables` has the columns; `models`, `tasks` and `accounts` have the
statements.
"""
