#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Checks the commits that main does not have yet: a title of at most 60
# characters, an empty second line, a sign-off.
set -euo pipefail
cd "$(dirname "$0")/.."
base=$(git rev-parse -q --verify origin/main || git rev-list --max-parents=0 HEAD)
status=0
fail() {
    echo "commit $commit: $*" >&2
    status=1
}
for commit in $(git rev-list --no-merges "$base..HEAD"); do
    message=$(git log -1 --format=%B "$commit")
    title=${message%%$'\n'*}
    [ ${#title} -le 60 ] || fail "the title is longer than 60 characters: $title"
    [ -z "$(sed -n 2p <<<"$message")" ] || fail "the second line is not empty"
    grep -q '^Signed-off-by: ' <<<"$message" || fail "no sign-off"
done
exit $status
