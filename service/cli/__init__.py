"""The command line: `traind serve | demo | train | jobs | status | watch | stop | pause | resume | cancel | ...`.

`entry` runs it, `app` lists the commands, each module has the commands of one subject, `show` prints jobs and events.
Modules import only fast libraries at their top: `traind --help` and `traind status` load neither aiohttp nor torch.
"""

from traind.service.cli.entry import main as main
