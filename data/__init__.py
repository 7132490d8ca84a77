"""Tables: read them, infer a schema, encode, split, synthesise, catalogue.

Knows no torch and no asyncio. `catalog` and `errors` import neither numpy nor polars: the server uses them.
"""
