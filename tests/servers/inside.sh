#!/bin/sh
# inside.sh: runs a command in a network, a process and an IPC namespace of its own.
#
#     tests/servers/inside.sh COMMAND [ARGUMENT...]
#
# Every port is free there, packet filters touch nothing outside, and when the command ends the kernel ends whatever it
# left running, servers in the background too. There is no way out to the network: download first (fetch.sh).
# Needs root (or sudo) and the packages util-linux and iproute2. The exit code is the command's.
set -eu

[ $# -gt 0 ] || { echo "usage: inside.sh COMMAND [ARGUMENT...]" >&2; exit 2; }
[ -z "${SLUICE_INSIDE:-}" ] || exec "$@"
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 || { echo "inside.sh: namespaces need root; run this as root or install sudo" >&2; exit 3; }
	exec sudo -E env "PATH=$PATH" "$0" "$@"
fi

# In a chroot the root is no mount point, and asking for another propagation of it is refused.
propagation=
unshare -m true 2>/dev/null || propagation="--propagation unchanged"

# The shell stays the first process of the namespace: it takes in orphans, which would be zombies for ever otherwise.
# shellcheck disable=SC2086,SC2016
exec unshare -n -i -p -f --kill-child --mount-proc $propagation env SLUICE_INSIDE=1 \
	bash -c 'trap : TERM INT; ip link set lo up || exit 3; "$@"; exit $?' inside "$@"
