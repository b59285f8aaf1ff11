#!/usr/bin/env bash
# After gc.freeze, a process that imported triton ends with a report of hundreds of leaks.
#
# Version: triton 3.9.0 (torch 2.15.0 brings and imports it), Python 3.11, Linux x86-64.
# Behaviour: Python recommends gc.freeze before processes are forked, and it makes long test runs
#   faster. Frozen objects are not collected when the interpreter ends. nanobind, with which
#   triton's extension is built, takes those that are still alive for reference leaks, and prints
#   them to standard error after the program's last line. gc.unfreeze before the end avoids it;
#   nothing is wrong with the program.
# Seen: no output without gc.freeze or with gc.unfreeze; with gc.freeze "nanobind: leaked 4
#   instances!", then leaked types and functions, 514 functions in one case.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q triton==3.9.0

report() {
    "$folder/venv/bin/python" -c "
import gc
import triton._C.libtriton
gc.collect()
$1" 2>&1
}

plain=$(report "")
frozen=$(report "gc.freeze()")
thawed=$(report "gc.freeze(); gc.unfreeze()")
echo "plain: ${#plain} characters; unfrozen at the end: ${#thawed} characters; frozen:"
head -n 3 <<<"$frozen"
[ -z "$plain" ]
[ -z "$thawed" ]
grep -q "^nanobind: leaked" <<<"$frozen"
