#!/bin/sh
# deps.sh: the one list of Debian packages, by purpose, and the way to install them.
#
#     tests/deps.sh install build test    as root, or through sudo; asks nothing, does nothing when all is there
#     tests/deps.sh list build            names only
#
# Purposes: build (the program and its unit tests), quickstart (the tour), test (everything tests/run.sh runs),
# servers (the real servers of its suite connectors, tests/servers/), bench (tests/bench). A word "package:command" is also satisfied by the command alone, wherever it came from.
set -eu

packages() {
	case $1 in
	build) echo gcc:gcc libc6-dev cmake:cmake ninja-build:ninja pkg-config:pkg-config re2c:re2c lemon:lemon \
		libuv1-dev libssl-dev libxxhash-dev libyaml-dev libjansson-dev libcurl4-openssl-dev libcrypt-dev libsqlite3-dev libpq-dev libhttp-parser-dev libpcre2-dev libjq-dev librdkafka-dev libhiredis-dev libmongoc-dev liblmdb-dev zlib1g-dev libsnappy-dev libzstd-dev libcmocka-dev tzdata ;;
	quickstart) echo python3:python3 sqlite3:sqlite3 ;;
	test) echo python3:python3 openssl:openssl sqlite3:sqlite3 mosquitto:mosquitto mosquitto-clients:mosquitto_pub python3-paho-mqtt nodejs:node npm:npm curl:curl jq:jq prometheus:promtool \
		clang:clang clang-format:clang-format libclang-rt-14-dev ;;
	servers) echo default-jre-headless:java maven:mvn golang-go:go kcat:kcat postgresql-15 pgbouncer:pgbouncer \
		redis-server:redis-server redis-tools:redis-cli mosquitto:mosquitto rabbitmq-server openssl:openssl nftables:nft iproute2:ip util-linux:unshare \
		ca-certificates ;;
	bench) echo python3:python3 mosquitto:mosquitto ;;
	*) echo "deps.sh: unknown purpose \"$1\" (known: build quickstart test servers bench)" >&2; exit 2 ;;
	esac
}

is_installed() { # package[:command]
	case $1 in *:*) if command -v "${1#*:}" >/dev/null 2>&1; then return 0; fi ;; esac
	[ "$(dpkg-query -W -f='${db:Status-Status}' "${1%%:*}" 2>/dev/null)" = installed ]
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null 2>&1; then sudo -- "$@"
	else echo "deps.sh: packages are missing ($missing); run this as root or install sudo" >&2; exit 3
	fi
}

# Packages of servers start them where an init system runs; we start our own on free ports, so hold that back.
hold_services() {
	[ -e /usr/sbin/policy-rc.d ] && return 0
	as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d'
	trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
		-o Dpkg::Use-Pty=0 "$@"
}

install() {
	missing=
	for word in $(for purpose in "$@"; do packages "$purpose"; done); do
		is_installed "$word" || missing="$missing ${word%%:*}"
	done
	[ -n "$missing" ] || return 0
	echo "installing:$missing"
	log=$(mktemp)
	hold_services
	if ! { apt update && apt install --no-install-recommends $missing; } >"$log" 2>&1; then
		tail -n 30 "$log" >&2
		echo "deps.sh: apt-get failed, its last lines are above" >&2
		rm -f "$log"
		exit 3
	fi
	rm -f "$log"
}

command=${1:-}
[ $# -ge 2 ] || { echo "usage: deps.sh install|list PURPOSE..." >&2; exit 2; }
shift
case $command in
install) install "$@" ;;
list) for purpose in "$@"; do for word in $(packages "$purpose"); do echo "${word%%:*}"; done; done | sort -u ;;
*) echo "usage: deps.sh install|list PURPOSE..." >&2; exit 2 ;;
esac
