"""The list of commands. A command's module is imported when it is called; its description stands here."""

from cyclopts import App

import traind

HELP = """Train PyTorch models from the command line, over HTTP, or inside asyncio programs.

`traind demo` shows it, `traind serve` starts the server, `traind train` needs none.
"""
TRAIN = """Train one model and follow it to its end; needs no server.

The same engine runs here and writes the same files below the root. Ctrl-C writes a checkpoint; the same command with
the same --job-id goes on from there.
"""
TUNE = """Look for the best spec: many trials, what is hopeless ended early, one model of the best at the end.

Needs no server. --search names a field and what it may be: lr=1e-4..1e-2:log, model.hidden=[[64],[128,128]];
without it a good few are searched.
"""
PREDICT = """Predict every row of a file with a finished model.

The output is CSV: the file's columns, `prediction` and, for classes, one `probability_<label>` for each label.
"""
COMMANDS = {
    "serve": ("serve:serve", "Serve on HTTP, with a page to look at."),
    "demo": ("demo:demo", "Train on real house prices through a real server, live, and predict."),
    "sample": ("sample:sample", "Write a table of real house sales, to try things with."),
    "train": ("train:train", TRAIN),
    "tune": ("tune:tune", TUNE),
    "submit": (
        "submit:submit",
        "Submit a job to a server and print its id at once; --follow or --wait stay.",
    ),
    "predict": ("models:predict", PREDICT),
    "export": ("models:export", "Write a finished model as ONNX or safetensors, compared with the original first."),
    "evaluate": ("models:evaluate", "Say how good a finished model is on a labelled table, and beside a baseline."),
    "alias": ("aliases:alias", "Name a server's models, move a name to a better one, and see where it has pointed."),
    "webhooks": ("webhooks:webhooks", "List a server's webhooks and their deliveries, and send a test."),
    "datasets": ("datasets:app", "Register, list, look at and delete a server's data sets."),
    "jobs": ("jobs:jobs", "List a server's jobs: newest first, or the best by a metric."),
    "studies": ("studies:studies", "List a server's studies, look at one and its trials, and stop or go on with it."),
    "edit": ("jobs:edit", "Change a job's name, tags, notes, or, while it waits, its priority."),
    "status": ("jobs:status", "Show how a job is."),
    "watch": ("jobs:watch", "Follow a job until it ends; Ctrl-C leaves the job alone."),
    "stop": ("jobs:stop", "End a job and keep the best model so far."),
    "pause": ("jobs:pause", "Let a job write its checkpoint and give its slot back."),
    "resume": ("jobs:resume", "Let a paused, stopped, failed or (with more epochs) completed job go on."),
    "control": (
        "control:control",
        "Change a running job's learning rate, epochs or patience, at its next step.",
    ),
    "cancel": ("jobs:cancel", "End a job and keep nothing but its record."),
    "delete": ("jobs:delete", "Remove a finished job with its files and its model."),
    "logs": ("outputs:logs", "Print the end of what a job itself printed; --follow goes on."),
    "files": ("outputs:files", "List the files that a job's trainer wrote."),
    "fetch": ("outputs:fetch", "Fetch files that a job's trainer wrote."),
    "backup": ("root:backup", "Write a root to one archive, also while a server runs on it."),
    "check": ("root:check", "Read everything in a root once and say what is not whole."),
    "completion": ("completion:completion", "Have the shell complete commands and flags."),
    "mcp": ("mcp:mcp", "Offer a server's verbs to agents as tools, by the Model Context Protocol on stdio."),
}

app = App(name="traind", help=HELP, version=traind.__version__, help_format="markdown")
for place, (name, (target, summary)) in enumerate(COMMANDS.items()):
    app.command(f"traind.service.cli.{target}", name=name, help=summary, sort_key=place)
