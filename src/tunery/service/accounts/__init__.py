"""
Users, groups, passwords, credentials and the state of the authorization server.

`accounts.Accounts` is the entry point; what users may do with tuned models is decided in `service/access.py`.
"""
