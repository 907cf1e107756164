"""Exact nearest-neighbor search of a gallery's embeddings, kept current by the gallery's revision.

`gallery_index.open_index` returns the index of a gallery; `people_index` has the people in it (`PeopleIndex`), and
`indexed_samples` their samples. `exact` computes similarities, and `pairs` finds similar pairs. A Milvus server may
search instead: see `milvus_address`, `milvus` and `mirror`.
"""
