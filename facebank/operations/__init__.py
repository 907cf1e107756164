"""Operations on photos, galleries and packs, one module per operation."""
