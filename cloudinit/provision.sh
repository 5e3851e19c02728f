#!/bin/sh
# Provisions an instance's image on a fresh Debian 13, as root: `provision.sh base DIR [DATASOURCE]`, then `provision.sh agent DIR`.
# DATASOURCE is what cloud-init asks for its user data: Ec2, or DigitalOcean. `provision.sh verify DIR` then says whether the image is what
# it should be; `provision.sh seal DIR` removes what only the builder needed, and is the last thing that is done there.
# DIR holds this folder's *.lock, wheels/ (what requirements.lock names, and for `agent` maintainer's own) and for `agent` image.json.
# The sandbox's image and an AMI are both made by it, so that what is rehearsed is what runs.
set -eu
step=$1
given=$2
datasource=${3:-Ec2}
export DEBIAN_FRONTEND=noninteractive PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
export PYTHONDONTWRITEBYTECODE=1

# By content and never checked: whoever makes an image of this tree may change its times, and then every instance would compile all of it.
compile() {
    /opt/maintainer/bin/python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash "$1"
}

base() {
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends \
        ca-certificates cloud-init iproute2 openssh-server procps python3 python3-venv util-linux

    architecture=$(dpkg --print-architecture)
    read -r version _ digest <<LINE
$(grep " $architecture " "$given/restic.lock")
LINE
    work=$(mktemp -d)
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "restic=$version")
    echo "$digest  $(echo "$work"/*.deb)" | sha256sum --check --status || {
        echo "restic $version for $architecture is not the package that restic.lock names: look why before you correct it" >&2
        exit 1
    }
    apt-get install -qq -y --no-install-recommends "$work"/*.deb
    rm -r "$work"

    python3 -m venv /opt/maintainer
    /opt/maintainer/bin/pip --isolated install --quiet --no-compile --no-index --find-links "$given/wheels" --no-deps --require-hashes -r "$given/requirements.lock"
    compile /opt/maintainer/lib

    useradd --create-home --shell /bin/sh maintainer
    cat > /etc/ssh/sshd_config.d/10-maintainer.conf <<'CONF'
# One account, one key that lives as long as one run. No passwords, no tunnels.
AllowUsers maintainer
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
DisableForwarding yes
HostKey /etc/ssh/ssh_host_ed25519_key
CONF
    cat > /etc/cloud/cloud.cfg.d/99-maintainer.cfg <<CONF
# What the image decides, whatever user data says later. An instance boots once: nothing is upgraded. That no password opens it sshd's own
# configuration says above: said here, it would make cloud-init start sshd again in the middle of the boot, under whoever is logging in.
datasource_list: [$datasource]
disable_root: true
package_update: false
package_upgrade: false
users: []
CONF
    mkdir -p /etc/systemd/system/ssh.service.d
    cat > /etc/systemd/system/ssh.service.d/50-maintainer.conf <<'CONF'
# PAM lets nobody in before, and sshd punishes whoever tries: it shuts the controller out for a quarter of a minute.
[Unit]
After=systemd-user-sessions.service
CONF
    mkdir -p /etc/systemd/journald.conf.d
    cat > /etc/systemd/journald.conf.d/50-maintainer.conf <<'CONF'
# When nobody can log in, the console is all that is left to say why. (A lower level would keep cloud-init's own words from it, too.)
[Journal]
ForwardToConsole=yes
MaxLevelConsole=info
CONF
    # Nothing upgrades by itself, and no provider's agent lets anybody in.
    for package in unattended-upgrades droplet-agent do-agent; do
        apt-get purge -qq -y "$package" 2>/dev/null || true
    done
    for unit in apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service; do
        ln -sf /dev/null "/etc/systemd/system/$unit"
    done

    apt-get clean
    rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* /var/lib/cloud/instance /var/lib/cloud/instances
    : > /etc/machine-id
}

agent() {
    /opt/maintainer/bin/pip --isolated install --quiet --no-compile --no-index --no-deps "$given"/wheels/maintainer-*.whl
    /opt/maintainer/bin/pip --isolated check || { echo "requirements.lock lacks what maintainer needs: run script/lock" >&2; exit 1; }
    compile "$(echo /opt/maintainer/lib/python3*/site-packages/maintainer)"
    install -D -m 0644 "$given/image.json" /usr/lib/maintainer/image.json
}

wrong() {
    echo "this image is not what it should be: $*" >&2
    exit 1
}

verify() {
    work=$(mktemp -d)
    ssh-keygen -q -t ed25519 -N '' -f "$work/key"
    mkdir -p /run/sshd
    /usr/sbin/sshd -T -h "$work/key" > "$work/sshd"
    for line in 'passwordauthentication no' 'kbdinteractiveauthentication no' 'permitrootlogin no' 'authenticationmethods publickey' \
        'allowusers maintainer' 'disableforwarding yes'; do
        grep -qxi "$line" "$work/sshd" || wrong "sshd does not say: $line"
    done
    rm -r "$work"
    open=$(awk -F: '$2 !~ /^[!*]/ { print $1 }' /etc/shadow)
    [ -z "$open" ] || wrong "a password, or none, opens $open"

    version=$(awk '!/^#/ { print $1; exit }' "$given/restic.lock")
    restic version | grep -q "^restic ${version%%[-+]*} " || wrong "restic is not $version"
    /opt/maintainer/bin/pip --isolated check > /dev/null || wrong "its Python packages do not fit together"
    /opt/maintainer/bin/python3 -c 'import maintainer.agent.main, maintainer.gateway.main' || wrong "the agent can not be started"
    cmp -s "$given/image.json" /usr/lib/maintainer/image.json || wrong "its digest is not the kit's"

    [ ! -e /usr/bin/unattended-upgrade ] || wrong "it upgrades itself"
    for unit in apt-daily.timer apt-daily-upgrade.timer; do
        [ "$(readlink "/etc/systemd/system/$unit")" = /dev/null ] || wrong "$unit is not masked"
    done
    for line in "datasource_list: \[$datasource\]" 'package_upgrade: false' 'users: \[\]'; do
        grep -qx "$line" /etc/cloud/cloud.cfg.d/99-maintainer.cfg || wrong "cloud-init is not told: $line"
    done
}

seal() {
    # Who built it has no account in it. The shell that asks for this may be theirs: it ends by itself.
    for user in $(awk -F: '$3 >= 1000 && $3 < 60000 && $1 != "maintainer" { print $1 }' /etc/passwd); do
        userdel --force --remove "$user" 2> /dev/null || true
        ! id "$user" > /dev/null 2>&1 || wrong "the account $user can not be removed"
    done
    rm -f /etc/sudoers.d/90-cloud-init-users /root/.ssh/authorized_keys /etc/ssh/ssh_host_* /home/*/.ssh/authorized_keys
    cloud-init clean --logs
    # Empty, not cloud-init's "uninitialized": that is a first boot, and systemd would enable by its presets what the image has not.
    : > /etc/machine-id
    rm -rf /var/log/journal/*
    find /var/log -type f -exec truncate -s 0 {} +
    apt-get clean
    rm -rf /var/lib/apt/lists/* "$given"
    sync
}

case $step in
    base | agent | verify | seal) "$step" ;;
    *) echo "usage: provision.sh base|agent|verify|seal DIR [DATASOURCE]" >&2; exit 2 ;;
esac
