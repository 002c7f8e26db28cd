# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
# To be sourced: packages of other Debian suites than the one this machine runs.
# They come from the mirror that apt is configured with, checked against the
# archive's signature. The system's own apt state stays untouched.
# Expects $cache, a directory, and say().

# suite_apt SUITE COMMAND ARGUMENTS...: apt-get or apt-cache on that suite alone.
suite_apt() {
    local suite=$1 command=$2
    shift 2
    "$command" -o "Dir::State::Lists=$cache/apt/$suite" -o "Dir::Cache=$cache/apt/cache" \
        -o "Dir::Etc::SourceList=$cache/apt/$suite.list" -o Dir::Etc::SourceParts=- \
        -o Acquire::Languages=none -o "APT::Sandbox::User=$(id -un)" "$@"
}

# suite_update SUITE: fetches its list of packages.
suite_update() {
    local suite=$1 mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
        sed 's#/$##' | awk '/\/debian$/ && !n++') || {
        say "apt has no Debian mirror configured" >&2
        return 1
    }
    mkdir -p "$cache/apt/$suite/partial" "$cache/apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
        >"$cache/apt/$suite.list"
    suite_apt "$suite" apt-get -qq update >&2
}

# suite_download SUITES PACKAGE [VERSION-PREFIX]: fetches a package from the first
# suite that has it, and prints the name of the file.
suite_download() {
    local suites=$1 package=$2 prefix=${3:-} suite version
    for suite in $suites; do
        suite_update "$suite" || continue
        version=$(suite_apt "$suite" apt-cache madison "$package" |
            awk -F'|' -v p="$prefix" '{ gsub(/ /, "", $2) } index($2, p) == 1 { print $2; exit }')
        [ -n "$version" ] || continue
        say "downloading $package $version from $suite" >&2
        rm -f "$cache/apt/$package"_*.deb
        (cd "$cache/apt" && suite_apt "$suite" apt-get -qq download "$package=$version" >&2) ||
            continue
        echo "$cache/apt/$package"_*.deb
        return
    done
    return 1
}

# suite_unpack SUITE PACKAGE DIRECTORY: unpacks a package and everything that it
# depends on, down to the C library, so that it runs beside the system's own.
suite_unpack() {
    local suite=$1 package=$2 directory=$3 deb
    suite_update "$suite"
    rm -f "$cache/apt/cache/archives/"*.deb
    say "downloading $package and its dependencies from $suite"
    suite_apt "$suite" apt-get -qq -o Dir::State::status=/dev/null -o Debug::NoLocking=1 \
        --no-install-recommends --download-only -y install "$package" >&2
    mkdir -p "$directory"
    for deb in "$cache/apt/cache/archives/"*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar x -C "$directory" --exclude=./usr/share
    done
    rm -f "$cache/apt/cache/archives/"*.deb
}
