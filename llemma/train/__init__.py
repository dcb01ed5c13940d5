"""The embedded trainer: continued pretraining of a Llama in one process, from the files that GPT-NeoX reads.

command    `llemma train`                       loop        one stage from its first step to its last
settings   neox.yml + stage.json as facts       step        loss, gradients, clipping, one update
keys       which NeoX keys can be honoured      validation  losses over all and by source
preflight  everything checked before a start    checkpoint  what is saved, and how a run goes on
data       samples in NeoX's order              metrics     metrics.jsonl
model      weights in and out                   export      the finished model as a Hugging Face folder
optimizer  AdamW with NeoX's groups             processor   what is told to memory and threads
"""
