"""The command line: `traind serve | demo | train | jobs | status | watch | stop | pause | resume | cancel | ...`.

`entry` runs it, `app` lists the commands, one module holds each family of them, `show` is what they print. Modules
import at their top only what is quick: `traind --help` and `traind status` load neither aiohttp nor torch.
"""

from traind.service.cli.entry import main as main
