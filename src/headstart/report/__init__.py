"""A RunRecord becomes a page, a model card, a table in the terminal; no model is needed."""
