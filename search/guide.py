"""`README.txt` of a study's folder: what is what in it, for a reader who has the folder and nothing else."""

GUIDE = """\
The folder of a study: detectors were scaled, trained and compared by catscale. All of it can be read without catscale.

study.yaml       what was searched, for what, and how each candidate was trained; bases/ and recipe/ belong to it
study.lock.json  code, packages, device, driver and data when it began, and what was other in later sessions
hardware.json    each session: its machine, when it began, its command
trials.csv       every trial: its parameters, what was counted and measured, its AP on the split val, or why it has none
trials/7/        the training of trial 7: architecture.yaml, recipe.yaml, results.csv (a line for each epoch), run.json,
                 and where they are kept best.safetensors and last.safetensors
seeds.csv        every complete training by itself, where a trial has several seeds
latency/         the measured latency of each trial, with its samples
proxies.csv      where the study has proxies: how well each orders the trials
start/           the run that all candidates begin with, where they begin with one
front.csv        the trials that no other beats in all objectives, in the columns of trials.csv
front/7/         such a trial by itself: architecture.yaml; official.yaml for the released YOLOv7 code, or why there is
                 none; weights.safetensors where they are kept; metrics.csv (a line for each epoch); recipe.yaml and
                 command.txt, which train it in full, into trained/7/
selected/7/      what was chosen and trained in full: as in trials/, with test.json (AP on the split test, taken once)
                 and latency.json
repeats.csv      the best of the front in full with other seeds, their runs in repeats/
study.db         the trials for Optuna, an SQLite file, unless another storage was named
workers/, asking.lock, opening.lock  of the workers that are at it; of no use when there are none
logs/            what trials complained of

AP is COCO's, from 0 to 1. FLOPs (gflops) are 2 x (MACs + biases of all convolutions) of the deployed model, in units of
1e9; latency_ms is the median of many runs; seconds are of training and evaluation. The trainings of a search are short:
its AP compares its candidates with each other, and with nothing else.
"""
