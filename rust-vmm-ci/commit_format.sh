#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Checks the commits that main does not have yet, and where there are none, as
# in a fresh clone of main, its last ones: a title of at most 60 characters, an
# empty second line, a sign-off. `commit_format.sh REVISIONS` checks those that
# `git rev-list` takes that for.
set -euo pipefail
cd "$(dirname "$0")/.."
# What is older is not going to change.
last=20
if [ $# -gt 0 ]; then
    commits=$(git rev-list --no-merges "$@")
else
    commits=
    if git rev-parse -q --verify origin/main >/dev/null; then
        commits=$(git rev-list --no-merges origin/main..HEAD)
    fi
    commits=${commits:-$(git rev-list --no-merges -n "$last" HEAD)}
fi
status=0
fail() {
    echo "commit $commit: $*" >&2
    status=1
}
for commit in $commits; do
    message=$(git log -1 --format=%B "$commit")
    title=${message%%$'\n'*}
    [ ${#title} -le 60 ] || fail "the title is longer than 60 characters: $title"
    [ -z "$(sed -n 2p <<<"$message")" ] || fail "the second line is not empty"
    grep -q '^Signed-off-by: ' <<<"$message" || fail "no sign-off"
done
echo "$(wc -w <<<"$commits") commits looked at"
exit $status
