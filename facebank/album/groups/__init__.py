"""Groups of unnamed faces, one person each: finding, dividing and naming them.

`clustering` groups embeddings, and has its thresholds; `face_groups` stores the groups of a scan (`Group`); `naming`
makes faces of a group samples of a person; `album_people` has one mean embedding for each person in a scan.
"""
