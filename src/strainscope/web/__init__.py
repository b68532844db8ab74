"""The web page and the REST interface: several users, inversions in processes of their own, results kept in SQLite.

Nothing here is imported by the rest; `strainscope serve` imports it, and it needs the packages of the extra `web`.
"""
