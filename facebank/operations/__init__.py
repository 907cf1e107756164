"""Operations on photos, galleries and packs, one module per operation.

`engine` has what all of them share (`Engine`, `load_engine`), and `inputs` the photos that they accept.
"""
