"""Studies: the search for the best spec. Their record, the trials that are kept going, and what may be asked of them.

A study knows jobs as anybody does who submits them: what runs, resumes or fails is the engine's. What to try next is
asked of a side worker (`trainer/search`). Called by `TrainingService`.
"""
