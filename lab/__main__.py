"""The lab's command line: `python -m lab up|down|status|exec -- CMD|image NAME|restart PART|kubeconfig`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from lab import cluster, images, network, outage, paths
from lab.shell import LabError, fail, locked, say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m lab", description="A real single-node Kubernetes, without Docker.")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build what is missing, start what is down, wait until all of it works")
    down = commands.add_parser("down", help="end everything; exit code 1 if anything is left")
    down.add_argument("--purge", action="store_true", help="remove logs and imported images, too")
    commands.add_parser("status", help="a table of the parts; exit code 0 only if all are well")
    run = commands.add_parser("exec", help="run a command inside the lab's network, with KUBECONFIG and PATH set")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD")
    image = commands.add_parser("image", help="build images of the project and hand them to the node")
    image.add_argument("names", nargs="+", choices=sorted(images.RECIPES), metavar="|".join(images.RECIPES))
    restart = commands.add_parser("restart", help="end one part and start it again; prints when it was away as JSON")
    restart.add_argument("part", choices=sorted(outage.PARTS))
    restart.add_argument("--away", type=float, default=0.0, metavar="SECONDS", help="leave it away so long")
    restart.add_argument("--kill", action="store_true", help="end it by SIGKILL, as in a crash")
    commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    return top


def execute(argv: Sequence[str]) -> int:
    """Becomes the given command, so that signals and the exit code are the command's own."""
    command = list(argv[1:] if argv[:1] == ["--"] else argv)
    if not command:
        return fail("say what to run: `python -m lab exec -- kubectl get pods`")
    network.enter()
    os.environ["KUBECONFIG"] = str(paths.KUBECONFIG)
    os.environ["PATH"] = f"{paths.BIN}:{os.environ.get('PATH', paths.SYSTEM_PATH)}"
    os.environ["SOLERA_LAB"] = "1"
    try:
        os.execvp(command[0], command)
    except OSError as error:
        fail(f"{command[0]}: {error.strerror}")
        return 127


def main() -> int:
    arguments = parser().parse_args()
    if arguments.command == "kubeconfig":
        print(paths.KUBECONFIG)
        return 0
    if os.geteuid() != 0:
        return fail("the lab needs root: it makes namespaces and mounts")
    try:
        if arguments.command == "exec":
            return execute(arguments.argv)
        if arguments.command == "status":
            return cluster.status()
        if arguments.command == "image":
            for name in arguments.names:
                images.make(name)
            return 0
        if arguments.command == "restart":
            print(outage.told(outage.restart(arguments.part, arguments.away, kill=arguments.kill)))
            return 0
        with locked(paths.HOME / "lock"):
            if arguments.command == "down":
                return cluster.down(purge=arguments.purge)
            cluster.up()
            say(f"up. kubeconfig: {paths.KUBECONFIG}")
    except LabError as error:
        return fail(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
