#!/bin/bash
# run.sh: installs what is missing, builds, and runs every test.
#
#     tests/run.sh                all suites
#     tests/run.sh mqtt cli       some of them (and the builds they need)
#     tests/run.sh --list         their names, in order
#
# Needs Debian 12 and root or sudo (for apt-get, and for the namespace of the suite connectors; servers that are no Debian
# packages stay in ~/.cache/sluice-tests, nothing else leaves build/ and temporary folders). Each suite
# prints a line when it ends; the last line counts all tests. Exit code 0: nothing failed. Output of each suite is
# kept in build/test-results/.
set -uo pipefail
cd "$(dirname "$0")/.."

SUITES="build connectors tidy unit sql mqtt clients cli docs fault tsan fuzz quickstart"
export LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
RESULTS=build/test-results
JOBS=$(nproc)

say() { printf '%s\n' "$*"; }

case ${1:-} in
--list) say $SUITES | tr ' ' '\n'; exit 0 ;;
-*) say "usage: tests/run.sh [--list] [SUITE...]" >&2; exit 2 ;;
esac
wanted=${*:-$SUITES}
for suite in $wanted; do
	case " $SUITES " in *" $suite "*) ;; *)
		say "run.sh: no suite is called \"$suite\"; there are: $SUITES" >&2; exit 2 ;;
	esac
done
wants() { case " $wanted " in *" $1 "*) return 0 ;; esac; return 1; }

# ---- Surroundings: removed again at the end, however it comes. ------------------------------------------------

child= beside= fuzzers= mounted_proc= made_hosts=
cleanup() {
	trap - EXIT INT TERM
	for process in $child $beside $fuzzers; do kill "$process" 2>/dev/null && wait "$process" 2>/dev/null; done
	[ -n "$mounted_proc" ] && umount -l /proc
	[ -n "$made_hosts" ] && rm -f /etc/hosts
}
trap 'cleanup' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A bare chroot has no /proc; the sanitizers read their own memory map there.
if [ ! -e /proc/self/maps ]; then
	if mount -t proc proc /proc 2>/dev/null; then mounted_proc=yes
	else say "run.sh: /proc is not mounted, and mounting it was refused; mount it first: mount -t proc proc /proc" >&2; exit 3
	fi
fi
# Nor does it know what localhost is.
if ! getent hosts localhost >/dev/null; then
	if [ ! -e /etc/hosts ] && echo "127.0.0.1 localhost" 2>/dev/null >/etc/hosts; then made_hosts=yes
	else say "run.sh: the name localhost is not known here; add a line to /etc/hosts: 127.0.0.1 localhost" >&2; exit 3
	fi
fi
mkdir -p $RESULTS
rm -f $RESULTS/*.counts
began=$SECONDS

# Address space randomisation confuses the thread sanitizer of this compiler on some kernels.
calm=
setarch -R true 2>/dev/null && calm="setarch -R"

# ---- Suites. run NAME SECONDS COMMAND...: output on screen and in a file; counts in NAME.counts. ---------------

run() {
	local name=$1 limit=$2 started=$SECONDS code=0
	shift 2
	printf '== %s\n' "$name"
	exec {both}> >(tee "$RESULTS/$name.log")
	local tee=$!
	$calm timeout -k 20 "$limit" "$@" >&$both 2>&1 {both}>&- &
	child=$!
	wait "$child" || code=$?
	child=
	exec {both}>&-
	wait "$tee"
	if [ ! -s "$RESULTS/$name.counts" ]; then # it ended without saying what happened
		[ "$code" = 0 ] && say "1 0 0" >"$RESULTS/$name.counts" || say "0 1 0" >"$RESULTS/$name.counts"
		[ "$code" = 124 ] && say "$name: stopped after $limit seconds"
		counts_line "$name" $((SECONDS - started))
	fi
	return $code
}

counts_line() { # NAME SECONDS
	local passed failed skipped
	read -r passed failed skipped <"$RESULTS/$1.counts"
	say "$1: $passed passed, $failed failed, $skipped skipped ($2 s)"
}

python_suite() { # NAME SECONDS FOLDER [ARGUMENT...]
	local name=$1 limit=$2 folder=$3
	shift 3
	run "$name" "$limit" python3 tests/harness/suite.py "$folder" --name "$name" --counts "$RESULTS/$name.counts" "$@"
}

install() {
	tests/deps.sh install build test || exit 3
	if wants connectors; then tests/deps.sh install servers || exit 3; fi
	if wants clients && [ ! -d build/npm/node_modules/mqtt ]; then
		say "installing: mqtt (npm)"
		npm install --prefix build/npm --no-save --no-audit --no-fund --loglevel=error mqtt@5.16.0 \
			>$RESULTS/npm.log 2>&1 || { cat $RESULTS/npm.log; say "run.sh: npm could not install mqtt" >&2; exit 3; }
	fi
}

build() { # PRESET [TARGET...]
	local preset=$1 log=$RESULTS/build-$1.log targets=
	shift
	[ $# -gt 0 ] && targets="--target $*"
	{ cmake --preset "$preset" && cmake --build --preset "$preset" -j "$JOBS" $targets; } >"$log" 2>&1 && return 0
	grep -n -m 20 -E 'error|FAILED|CMake Error' "$log" || tail -n 20 "$log"
	say "the $preset build failed; all of it is in $log"
	return 1
}

built= broken=
need() { # PRESET: builds it once; says no when it cannot be built
	local started=$SECONDS targets=
	case " $built " in *" $1 "*) return 0 ;; esac
	case " $broken " in *" $1 "*) return 1 ;; esac
	[ "$1" = fuzz ] && targets=$(cd tests/fuzz && ls -- *_fuzz.c 2>/dev/null | sed 's/\.c$//')
	say "== building $1"
	if build "$1" $targets; then
		built="$built $1" passed_builds=$((passed_builds + 1))
		say "build $1: done ($((SECONDS - started)) s)"
		return 0
	fi
	broken="$broken $1"
	return 1
}

without() { # SUITE PRESET: a suite that cannot run counts as failed
	say "0 1 0" >"$RESULTS/$1.counts"
	say "$1: 0 passed, 1 failed, 0 skipped: the $2 build is missing"
}

# The layers with threads; the others would only be slow here. connectors/ has its kinds below it.
threaded() { # BUILD
	local layer
	for layer in net connectors rules transport session admin; do
		[ ! -d "$1/tests/unit/$layer" ] || echo "$1/tests/unit/$layer"
	done
}

# Runs a suite in the background; lanes_end waits for it and shows what it said.
lanes=
beside_lane() { # NAME FOLDER [ARGUMENT...]
	local name=$1 folder=$2
	shift 2
	SLUICE_BIN=$PWD/build/dev/sluice SLUICE_FAST_BIN=$PWD/build/release/sluice \
		$calm timeout -k 20 2400 tests/servers/inside.sh python3 tests/harness/suite.py "$folder" "$@" \
		--counts "$RESULTS/$name.counts" >"$RESULTS/$name.log" 2>&1 &
	beside="$beside $!" lanes="$lanes $name:$!"
	say "$name: goes on beside the others ($RESULTS/$name.log)"
}

lanes_end() {
	local lane name
	for lane in $lanes; do
		name=${lane%%:*}
		echo "== $name"
		tail -n +1 -f --pid="${lane##*:}" "$RESULTS/$name.log"
		wait "${lane##*:}"
		[ -s "$RESULTS/$name.counts" ] || { say "0 1 0" >"$RESULTS/$name.counts"; say "$name: ended without a word"; }
	done
	beside= lanes=
}

fuzz_one() { # TARGET: its counts stand in a file of its own
	local name
	name=$(basename "$1" _fuzz)
	mkdir -p "build/fuzz/found/$name"
	if "$1" -max_total_time=8 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix="$RESULTS/$name-" "build/fuzz/found/$name" "tests/fuzz/corpus/$name" \
		>"$RESULTS/fuzz-$name.log" 2>&1; then
		say "$name: $(sed -n 's/stat::number_of_executed_units: *//p' "$RESULTS/fuzz-$name.log") inputs"
		return 0
	fi
	tail -n 40 "$RESULTS/fuzz-$name.log"
	say "FAILED $name: replay it with build/dev/tests/${name}_replay $RESULTS/$name-*"
	touch "$RESULTS/fuzz-$name.failed"
}

fuzz_all() {
	local target passed=0 failed=0 all=0
	rm -f "$RESULTS"/fuzz-*.failed
	for target in build/fuzz/fuzz/*_fuzz; do
		[ -x "$target" ] || continue
		all=$((all + 1))
		fuzz_one "$target" &
		fuzzers="$fuzzers $!"
		[ $((all % JOBS)) = 0 ] && wait $fuzzers
	done
	[ -z "$fuzzers" ] || wait $fuzzers
	fuzzers=
	failed=$(find "$RESULTS" -name 'fuzz-*.failed' | wc -l)
	passed=$((all - failed))
	say "$passed $failed 0" >"$RESULTS/fuzz.counts"
	say "fuzz: $passed passed, $failed failed, 0 skipped"
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# About half of what is left takes as long as the other half.
SECOND=bad_server_test,kafka_nonsense_test,memory_test,mqtt_test,redis_attack,redis_cluster,redis_fault,redis_sentinel,redis_source,redis_test

suite() {
	case $1 in
	build)
		need dev; need release; need tsan; need fuzz
		say "$(wc -w <<<"$built") $(wc -w <<<"$broken") 0" >$RESULTS/build.counts ;;
	tidy) python_suite tidy 300 tidy ;;
	unit) need dev && run unit 900 python3 tests/harness/ctest.py build/dev --counts $RESULTS/unit.counts \
		|| [ -s $RESULTS/unit.counts ] || without unit dev ;;
	sql) need dev && SLUICE_BIN=$PWD/build/dev/sluice python_suite sql 300 sql \
		|| [ -s $RESULTS/sql.counts ] || without sql dev ;;
	mqtt | cli) need dev && SLUICE_BIN=$PWD/build/dev/sluice python_suite "$1" 1200 "$1" -j 3 \
		|| [ -s $RESULTS/"$1".counts ] || without "$1" dev ;;
	clients | docs) need dev && SLUICE_BIN=$PWD/build/dev/sluice python_suite "$1" 1200 "$1" \
		|| [ -s $RESULTS/"$1".counts ] || without "$1" dev ;;
	fault) need dev && need release && SLUICE_BIN=$PWD/build/dev/sluice SLUICE_FAST_BIN=$PWD/build/release/sluice \
		python_suite fault 1200 fault || [ -s $RESULTS/fault.counts ] || without fault "dev or release" ;;
	connectors)
		if need dev && need release; then
			# Downloads come first: inside there is no way out. A server that is missing fails its tests.
			run servers 1200 tests/servers/fetch.sh || true
			# The drills compare latencies, before an outage and in it: nothing else runs meanwhile.
			SLUICE_BIN=$PWD/build/dev/sluice SLUICE_FAST_BIN=$PWD/build/release/sluice \
				run drills 1200 tests/servers/inside.sh python3 tests/harness/suite.py connectors -k drill_test \
				--name drills --counts "$RESULTS/drills.counts" || true
			# The others mostly wait: they do so beside the suites that follow, each in a namespace of its own.
			beside_lane connectors-2 connectors -k "$SECOND" --name connectors-2
			beside_lane connectors connectors -x "drill_test,$SECOND"
		else without connectors "dev or release"
		fi ;;
	tsan)
		if need tsan; then
			run tsan-unit 900 python3 tests/harness/ctest.py $(threaded build/tsan) --name tsan-unit \
				--counts $RESULTS/tsan-unit.counts
			SLUICE_BIN=$PWD/build/tsan/sluice python_suite tsan-mqtt 1800 mqtt -j 3
			SLUICE_BIN=$PWD/build/tsan/sluice SLUICE_FAST_BIN=$PWD/build/tsan/sluice \
				python_suite tsan-load 600 fault -k threads
		else without tsan-unit tsan
		fi ;;
	fuzz) if need fuzz; then echo "== fuzz"; fuzz_all; else without fuzz fuzz; fi ;;
	quickstart) run quickstart 600 examples/quickstart.sh ;;
	esac
}

passed_builds=0
install
for suite in $SUITES; do
	if wants "$suite"; then suite "$suite"; fi
done
lanes_end

# ---- The sum. --------------------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0
say; say "all suites, $((SECONDS - began)) s:"
for file in "$RESULTS"/*.counts; do
	read -r p f s <"$file"
	printf '  %-12s %5d passed %4d failed %4d skipped\n' "$(basename "$file" .counts)" "$p" "$f" "$s"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
[ "$failed" = 0 ] || say "output of each suite: $RESULTS/"
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
