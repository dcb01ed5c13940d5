"""The embedded trainer: continued pretraining, fine-tuning and preferences on one host, from GPT-NeoX's own files.

command    `llemma train`                       loop        one stage from its first step to its last
settings   neox.yml + stage.json as facts       stage_run   a stage in the middle of it, and the way back
keys       which NeoX keys can be honoured      step        loss, gradients, one update
preflight  everything checked before a start    validation  losses over all and by source
processes  several processes of one run         grid        who they are, and what they tell each other
engine     what an optimizer is asked for       optimizer   AdamW over one row of numbers (deepspeed_engine: its own)
objective  what a stage is trained towards      start       the weights that a stage begins with
checkpoint what is saved, and how it goes on    export      the finished model as a Hugging Face folder

data/      samples in NeoX's order              model/      Llama, its weights and its loss
watch/     what a stage tells while it trains
"""
