"""
All SQL of tunery, grouped by what it is about; the rest of the program calls these functions by name.

`tables`: the columns; `rows`: rows to domain values; `connection`: the file and its transactions; `schema`: its
version; `models`: tuned models; `tasks`: the queue. None of them knows the files of an adapter, processes or HTTP.
"""
