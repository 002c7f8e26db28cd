# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# To be sourced: packages of any Debian suite and architecture, from the mirrors this machine's apt
# is configured with, checked by apt against the archive's signature. What apt knows and does on
# this machine stays untouched.
#
#   debian_need COMMAND:PACKAGE...             installs on this machine what is missing, if root;
#                                              PACKAGE may be a|b, FILE may stand for COMMAND
#   debian_version SUITE ARCH PACKAGE          prints the newest version
#   debian_first SUITES ARCH PACKAGE PREFIX    prints "SUITE VERSION" of the first suite that has a
#                                              version with this prefix; fails if none has
#   debian_search SUITE ARCH PATTERN           prints the packages whose names match, newest first
#   debian_depends SUITE ARCH PACKAGE          prints the packages it depends on itself
#   debian_download SUITE ARCH PACKAGE[=VERSION]  prints the name of the downloaded file
#   debian_download_all SUITE ARCH PACKAGE...  prints those of the packages and all they depend on
#
# With DEBIAN_UNSIGNED=1 a suite whose signature and lists disagree, as they do on a mirror that is
# being updated, is taken nevertheless: for packages that only a guest runs.
#
# DEBIAN_CACHE keeps lists and packages (default: s390-debian in $XDG_CACHE_HOME or ~/.cache). Lists
# are looked up again after half a day; without a network the old ones do.

DEBIAN_CACHE=${DEBIAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s390-debian}

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

debian_need() {
    local pair i missing=()
    for pair; do
        # A path stands for a file, anything else for a command.
        if [[ ${pair%%:*} == /* ]]; then
            [ -e "${pair%%:*}" ] || missing+=("${pair##*:}")
        else
            PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "run as root once, or install: ${missing[*]}"
    echo "installing ${missing[*]}" >&2
    apt-get -qq update >&2
    for i in "${!missing[@]}"; do
        missing[i]=$(_debian_available "${missing[i]}")
    done
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# Prints the first of "a|b" that apt can install.
_debian_available() {
    local name
    for name in ${1//|/ }; do
        if apt-cache policy "$name" | grep 'Candidate: [0-9]' >/dev/null; then
            echo "$name"
            return
        fi
    done
    die "no package $1 in the sources of apt"
}

# Prints the first mirror of apt's whose address ends so. (What reads a pipe reads all of it here:
# with pipefail, a writer that is left alone counts as one that failed.)
_debian_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed 's#/$##' |
        awk -v name="$1" -F/ '$NF == name && !mirror { mirror = $0 }
            END { if (!mirror) exit 1; print mirror }'
}

# _debian_update DIR LINE...: takes the lists of these sources.
_debian_update() {
    local dir=$1
    shift
    printf '%s\n' "$@" >"$dir/sources.list"
    APT_CONFIG=$dir/apt.conf apt-get -qq -o APT::Update::Error-Mode=any update >&2
}

# _debian_lists SUITE ARCH DIR: makes an apt of its own in the directory, with the suite's lists.
_debian_lists() {
    local suite=$1 arch=$2 dir=$3 mirror security sources
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    : >"$dir/status"
    # A mirror may be late; what it has is signed all the same.
    cat >"$dir/apt.conf" <<END
Dir::State "$dir";
Dir::State::Lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::SourceList "$dir/sources.list";
Dir::Etc::SourceParts "-";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "$(id -un)";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
END
    mirror=$(_debian_mirror debian) || die "apt has no mirror of Debian configured"
    local signed="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    sources=("$signed $mirror $suite main")
    case $suite in
    sid | *-backports) ;;
    *)
        if security=$(_debian_mirror debian-security); then
            sources+=("$signed $security $suite-security main")
        fi
        ;;
    esac
    _debian_update "$dir" "${sources[@]}" && return
    [ -n "${DEBIAN_UNSIGNED:-}" ] || return
    echo "the mirror's lists of $suite are not those that Debian signed; taking them as they are" >&2
    # The directory of the list as a repository of its own.
    _debian_update "$dir" "deb [trusted=yes] $mirror dists/$suite/main/binary-$arch/" 2>/dev/null
}

# _debian_apt SUITE ARCH COMMAND...: runs an apt command on the suite's own lists.
_debian_apt() {
    local suite=$1 arch=$2 dir=$DEBIAN_CACHE/$1-$2
    shift 2
    mkdir -p "$dir"
    # One at a time: apt refuses to wait for the lock of its lists.
    (
        flock 8
        [ -z "$(find "$dir/fresh" -mmin -720 2>/dev/null)" ] || exit 0
        if _debian_lists "$suite" "$arch" "$dir"; then
            touch "$dir/fresh"
        elif [ ! -e "$dir/fresh" ]; then
            die "cannot get Debian's list of packages ($suite, $arch)"
        fi
    ) 8>"$dir/update" || return
    APT_CONFIG=$dir/apt.conf "$@"
}

debian_version() {
    local version
    version=$(_debian_apt "$1" "$2" apt-cache policy "$3" | awk '/Candidate:/ { print $2 }')
    case $version in
    "" | "(none)") die "no package $3 in $1 for $2" ;;
    esac
    echo "$version"
}

debian_first() {
    local suite version
    for suite in $1; do
        version=$(_debian_apt "$suite" "$2" apt-cache madison "$3" |
            awk -F'|' -v p="$4" '{ gsub(/ /, "", $2) }
                index($2, p) == 1 && !version { version = $2 } END { print version }') || continue
        [ -n "$version" ] || continue
        echo "$suite $version"
        return
    done
    return 1
}

debian_search() {
    _debian_apt "$1" "$2" apt-cache pkgnames | awk -v p="$3" '$0 ~ p' | sort -rV
}

debian_depends() {
    _debian_apt "$1" "$2" apt-cache show --no-all-versions "$3" |
        sed -n 's/^Depends: //p' | tr ',' '\n' | awk '{ print $1 }'
}

debian_download() {
    local dir=$DEBIAN_CACHE/$1-$2/cache/archives package=${3%%=*} version
    case $3 in
    *=*) version=${3#*=} ;;
    *) version=$(debian_version "$1" "$2" "$3") ;;
    esac
    _debian_apt "$1" "$2" env -C "$dir" apt-get -qq download "$package=$version" >&2 ||
        die "cannot get package $package $version ($1, $2)"
    # As apt names it: the version's colon is encoded.
    find "$dir" -name "${package}_${version/:/%3a}_*.deb"
}

debian_download_all() {
    local suite=$1 arch=$2 line
    shift 2
    _debian_apt "$suite" "$arch" apt-get -qq -y --no-install-recommends --download-only \
        install "$@" >&2 || die "cannot get packages $* ($suite, $arch)"
    _debian_apt "$suite" "$arch" apt-get -qq -y --no-install-recommends --simulate install "$@" |
        sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p' | while read -r line; do
        find "$DEBIAN_CACHE/$suite-$arch/cache/archives" \
            -name "${line% *}_$(sed 's/:/%3a/' <<<"${line#* }")_*.deb"
    done
}
