"""The build: a recipe to a tokenized, documented corpus.  `python -m proof_pile.build`"""
