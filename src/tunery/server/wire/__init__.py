"""
JSON messages: camelCase and enum names in replies, either case and enum numbers in requests. No other part uses these.
"""
