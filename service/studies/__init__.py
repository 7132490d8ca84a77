"""Studies: the search for the best spec. Their record, the tasks that keep trials going, and their calls.

A study knows jobs as anybody does who submits them: what runs, resumes or fails is the engine's. What to try next is
asked of a side worker (`trainer/search`). Called by `TrainingService`.
"""
