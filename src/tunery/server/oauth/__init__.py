"""
The authorization server: signs users in for programs (RFC 6749, 7636, 8628, 7009, 7662, 8414, 9207, 9728).

Authlib's framework-free core between FastAPI and the accounts. `router` in `routes.py` has all of it.
"""
