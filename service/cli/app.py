"""The commands with their help. A command's module is imported when the command is called."""

from cyclopts import App

import traind

HELP = """Train PyTorch models from the command line, over HTTP, or inside asyncio programs.

`traind demo` shows it, `traind serve` starts the server, `traind train` needs no server.
"""
TRAIN = """Train one model and follow it to its end; needs no server.

The same engine runs here and writes the same files below the root. Ctrl-C writes a checkpoint; the same command with
the same --job-id goes on from there.
"""
TUNE = """Search for the best spec: many trials, hopeless ones pruned, at the end one ensemble of the best.

Needs no server. --search gives a field and its range or choices: lr=1e-4..1e-2:log, model.hidden=[[64],[128,128]];
without it the usual fields are searched.
"""
PREDICT = """Predict every row of a file with a finished model.

The output is CSV: the file's columns, `prediction` and, for classes, one `probability_<label>` for each label.
"""
COMMANDS = {
    "serve": ("serve:serve", "Start the server: HTTP interface, websocket and web page."),
    "demo": ("demo:demo", "Train on real house prices through a real server, live, and predict."),
    "sample": ("sample:sample", "Write a table of real house sales, to try things with."),
    "train": ("train:train", TRAIN),
    "tune": ("tune:tune", TUNE),
    "submit": (
        "submit:submit",
        "Submit a job to a server and print its id at once, or wait for it with --follow or --wait.",
    ),
    "predict": ("models:predict", PREDICT),
    "export": ("models:export", "Write a finished model as ONNX or safetensors, checked against the original first."),
    "evaluate": ("models:evaluate", "Evaluate a finished model on a labelled table, beside a baseline."),
    "alias": (
        "aliases:alias",
        "Point names at a server's models, move them only to better ones, and show their history.",
    ),
    "webhooks": ("webhooks:webhooks", "List a server's webhooks and their deliveries, and send a test."),
    "datasets": ("datasets:app", "Register, list, show and delete a server's data sets."),
    "jobs": ("jobs:jobs", "List a server's jobs: newest first, or the best by a metric."),
    "studies": ("studies:studies", "List a server's studies, show one and its trials, pause, resume or end it."),
    "compare": (
        "compare:compare",
        "Print what jobs, or a study's trials, differ in and how good they are, best first.",
    ),
    "edit": ("jobs:edit", "Change a job's name, tags, notes, or, while it waits, its priority."),
    "status": ("jobs:status", "Show a job: progress, data, settings, scores, times."),
    "watch": ("jobs:watch", "Follow a job until it ends; Ctrl-C leaves the job alone."),
    "stop": ("jobs:stop", "End a job and keep the best model so far."),
    "pause": ("jobs:pause", "Have a job write its checkpoint and free its slot."),
    "resume": ("jobs:resume", "Continue a paused, stopped, failed or (with more epochs) completed job."),
    "control": (
        "control:control",
        "Change a running job's learning rate, epochs or patience, at its next step.",
    ),
    "cancel": ("jobs:cancel", "End a job and keep only its record."),
    "delete": ("jobs:delete", "Remove a finished job with its files and its model."),
    "logs": ("outputs:logs", "Print the end of a job's output; --follow goes on."),
    "files": ("outputs:files", "List the files that a job's trainer wrote."),
    "fetch": ("outputs:fetch", "Download files that a job's trainer wrote."),
    "backup": ("root:backup", "Write a root to one archive, also while a server runs on it."),
    "check": ("root:check", "Check every file of a root and list what is damaged or missing."),
    "completion": ("completion:completion", "Print or install the shell's completion of commands and flags."),
    "mcp": ("mcp:mcp", "Offer a server's calls to agents as tools, by the Model Context Protocol on stdio."),
}

app = App(name="traind", help=HELP, version=traind.__version__, help_format="markdown")
for place, (name, (target, summary)) in enumerate(COMMANDS.items()):
    app.command(f"traind.service.cli.{target}", name=name, help=summary, sort_key=place)
