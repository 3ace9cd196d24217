#!/bin/bash
# fetch.sh: downloads the servers that are no Debian packages, once, and checks them.
#
#     tests/servers/fetch.sh                       all of them
#     tests/servers/fetch.sh kafka                 some: kafka mongo-java ferretdb
#
# They go to $SLUICE_CACHE, by default ~/.cache/sluice-tests, and stay there: 46 MB of jars for Kafka, 10 MB for
# mongo-java-server, and a binary of 31 MB for FerretDB, whose build takes about 90 s of processor time once and no
# space afterwards. Jars are compared with the SHA-256 sums that stand beside this file, FerretDB's source and compiler
# with their Go sums. Needs the packages of `tests/deps.sh list servers`. Maven and Go are asked as they are configured on
# this machine (settings.xml, GOPROXY).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${SLUICE_CACHE:-$HOME/.cache/sluice-tests}
mkdir -p "$cache"
exec {lock}>"$cache/lock"
flock "$lock" # two runs at once: the second finds everything there

scratch=
trap '[ -z "$scratch" ] || { chmod -R u+w "$scratch"; rm -rf "$scratch"; }' EXIT
trap 'exit 130' INT TERM
die() { echo "fetch.sh: $*" >&2; exit 3; }

# Every file of the list is there and as listed, and nothing else is there.
matches() { # FOLDER LIST
	[ -d "$1" ] && (cd "$1" && sha256sum --check --status "$2") && [ "$(find "$1" -type f | wc -l)" = "$(wc -l <"$2")" ]
}

jars() { # NAME VERSION
	local folder=$cache/$1-$2 list=$here/$1.sha256
	matches "$folder" "$list" && return 0
	echo "downloading: $1 $2"
	scratch=$(mktemp -d -p "$cache")
	mvn -q -B -f "$here/$1.pom.xml" "-Dmaven.repo.local=$scratch/m2" \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		"-DoutputDirectory=$scratch/jars" -DincludeScope=runtime >"$scratch/log" 2>&1 \
		|| { tail -n 20 "$scratch/log" >&2; die "Maven could not download $1"; }
	matches "$scratch/jars" "$list" || {
		(cd "$scratch/jars" && sha256sum --check --quiet "$list" 2>&1 | head -n 5 >&2) || true
		die "$1: the jars are not the ones of $(basename "$list")"
	}
	rm -rf "$folder"
	mv "$scratch/jars" "$folder"
	rm -rf "$scratch"
	scratch=
}

FERRETDB=v1.24.0 FERRETDB_SUM=h1:7WJmezL48Bj9bYWnhT/bEJgX5gjT5s7LFdHTqkN25rA=
TOOLCHAIN=v0.0.1-go1.22.12 TOOLCHAIN_SUM_amd64=h1:Hdh4VJAlDWzMnhKpqDwqJJr+sE7NgsJ86dyR4wrv2oY=

go_module() { # GO MODULE VERSION SUM: prints its folder; an empty sum leaves the check to Go's checksum database
	local told
	told=$("$1" mod download -json "$2@$3" 2>"$scratch/log") || { echo "$told" >&2; tail -n 20 "$scratch/log" >&2; die "Go could not download $2"; }
	[ -z "$4" ] || [ "$(sed -n 's/.*"Sum": "\(.*\)".*/\1/p' <<<"$told")" = "$4" ] || die "$2 $3: not the sum $4"
	sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$told"
}

# Debian's Go is too old for FerretDB; a newer compiler is a module like any other. FerretDB's own go.sum pins the rest.
ferretdb() {
	local folder=$cache/ferretdb-${FERRETDB#v} arch sum tools source
	[ -x "$folder/ferretdb" ] && (cd "$folder" && sha256sum --check --status sha256) && return 0
	echo "building: FerretDB $FERRETDB (some minutes, once)"
	scratch=$(mktemp -d -p "$cache")
	arch=$(go env GOHOSTARCH)
	sum=TOOLCHAIN_SUM_$arch
	export GOMODCACHE=$scratch/mod GOCACHE=$scratch/build GOFLAGS=-modcacherw GOTOOLCHAIN=local CGO_ENABLED=0 GO111MODULE=on
	cd "$scratch"
	tools=$(go_module go golang.org/toolchain "$TOOLCHAIN.linux-$arch" "${!sum:-}")
	chmod +x "$tools"/bin/* "$tools/pkg/tool/linux_$arch"/*
	source=$(go_module "$tools/bin/go" github.com/FerretDB/FerretDB $FERRETDB $FERRETDB_SUM)
	cp -r "$source" "$scratch/source"
	chmod -R u+w "$scratch/source"
	cd "$scratch/source"
	echo $FERRETDB >build/version/version.txt # it does not start without
	"$tools/bin/go" build -mod=readonly -trimpath -ldflags '-s -w' -o "$scratch/out/ferretdb" ./cmd/ferretdb >"$scratch/log" 2>&1 \
		|| { tail -n 20 "$scratch/log" >&2; die "FerretDB could not be built"; }
	(cd "$scratch/out" && sha256sum ferretdb >sha256)
	cd "$cache"
	rm -rf "$folder"
	mv "$scratch/out" "$folder"
	chmod -R u+w "$scratch"
	rm -rf "$scratch"
	scratch=
}

for what in "${@:-all}"; do
	case $what in
	all) jars kafka 3.9.1; jars mongo-java 1.47.0; ferretdb ;;
	kafka) jars kafka 3.9.1 ;;
	mongo-java) jars mongo-java 1.47.0 ;;
	ferretdb) ferretdb ;;
	*) die "unknown: $what (known: kafka mongo-java ferretdb)" ;;
	esac
done
