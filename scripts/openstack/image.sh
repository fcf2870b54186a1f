# Makes the image of the guests: a small Debian with cloud-init, as a tar archive of kernel, initrd and root file system on standard
# output. The kernel is booted directly, so there is neither a partition nor a boot loader. dpkg-dev is what a testbed needs first to get
# a source package; installing it takes an emulated machine minutes, and so does reading the archive's lists, which stay therefore.
# Without dbus nobody hears the power button, and Nova waits a minute for the end of a machine. Run it as root of namespaces of your own.
set -eu
exec 3>&1 >&2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export TMPDIR=$place
# shellcheck disable=SC1091  # the file is the machine's
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
apt-get indextargets --format '$(CREATED_BY) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' |
    awk -v release="$release" '$1 == "Packages" && index($4, release) == 1 && sub(/^Packages /, "") { print; sub(/^deb/, "deb-src"); print }' |
    sort -u |
    mmdebstrap --quiet --mode=root --variant=minbase --format=directory --skip=chroot/mount/sys,cleanup/apt/lists \
        --include=linux-image-cloud-amd64,systemd-sysv,udev,dbus,cloud-init,openssh-server,iproute2,isc-dhcp-client,ifupdown,netbase,sudo,ca-certificates,dpkg-dev \
        --aptopt='Acquire::Languages "none"' --aptopt='Apt::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" && echo COMPRESSLEVEL=1 >"$1/etc/initramfs-tools/conf.d/fast"' \
        --customize-hook='cat >"$1/etc/cloud/cloud.cfg.d/90_guest.cfg" <<END
# There is no package that makes locales.
locale: false
# Its own are the ones of the machine that made the image, which it reaches.
apt_preserve_sources_list: true
datasource_list: [ OpenStack ]
# Emulated, each module takes a second: these are what images of clouds do, without what nobody asks of a guest here.
cloud_init_modules: [seed_random, bootcmd, write-files, growpart, resizefs, set_hostname, update_etc_hosts, users-groups, ssh]
cloud_config_modules: [apt-configure, runcmd]
cloud_final_modules: [package-update-upgrade-install, scripts-user, keys-to-console, final-message]
END' "$release" "$place/root" -
cp "$place"/root/boot/vmlinuz-* "$place/vmlinuz"
cp "$place"/root/boot/initrd.img-* "$place/initrd"
/usr/sbin/mke2fs -q -t ext4 -d "$place/root" "$place/root.ext4" 1G
qemu-img convert -q -O qcow2 -c "$place/root.ext4" "$place/root.qcow2"
tar -c -C "$place" vmlinuz initrd root.qcow2 >&3
