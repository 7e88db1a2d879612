#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cmake --install below a directory of ours, with two prefixes: what the unit starts and the group that it runs in are
# installed with it, the guides find one another, and a second installation leaves edited options alone.
#
#   install.sh BUILD-DIRECTORY
set -euo pipefail
build=$1
DESTDIR=$(mktemp -d)
export DESTDIR
trap 'rm -rf "$DESTDIR"' EXIT
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

options=$DESTDIR/etc/default/shunt
for prefix in /usr/local /opt/switch; do
  cmake --install "$build" --prefix "$prefix" >/dev/null
  unit=$DESTDIR$prefix/lib/systemd/system/shuntd.service
  program=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$unit")
  [ -x "$DESTDIR$program" ] || fail "the unit starts '$program', which is not installed"
  grep -q "^g $(sed -n 's/^Group=//p' "$unit") " "$DESTDIR$prefix/lib/sysusers.d/shunt.conf" || fail "nothing makes the unit's group"
  grep -q "^EnvironmentFile=-${options#"$DESTDIR"}$" "$unit" || fail "the unit does not read $options"
  if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify --man=no --root="$DESTDIR" --recursive-errors=no "$prefix/lib/systemd/system/shuntd.service" || fail "the unit"
  fi
  [ "$prefix" = /usr/local ] || continue
  echo 'SHUNTD_OPTIONS="--no-state"' >"$options"
done
grep -q -- '--no-state' "$options" || fail "edited options are overwritten"

docs=$DESTDIR/usr/local/share/doc/shunt
for page in "$docs"/*.md "$docs"/docs/*.md; do
  # The sources that pages name are not installed.
  for target in $(grep -o '](\([^):]*\))' "$page" | tr -d ']()' | sed 's/#.*//' | grep -Ev '^(\.\./)?(bpf|maps|user)/'); do
    [ -e "$(dirname "$page")/$target" ] || fail "$(basename "$page") links $target, which is not installed"
  done
done
