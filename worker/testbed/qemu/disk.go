package qemu

// The files that disk leaves.
const (
	diskFile   = "disk.img"
	kernelFile = "vmlinuz"
	initrdFile = "initrd.img"
)

// disk turns an unpacked image, in the working directory, into a disk and what boots it. The disk is sparse. autopkgtest's
// server finds a login prompt on the first serial line, by which it knows that the machine is up, and a shell on the second.
// The network's addresses are those that qemu's own network has always: asking for them would take time.
const disk = `mkdir .root
find . -mindepth 1 -maxdepth 1 ! -name .root -exec mv -t .root {} +
cd .root
kernel=$(ls boot/vmlinuz-* 2>/dev/null | sort -V | tail -n 1)
if [ -z "$kernel" ] || [ ! -e "boot/initrd.img-${kernel#boot/vmlinuz-}" ]; then
    echo "the image has no kernel or no initrd: include = linux-image-amd64 initramfs-tools systemd-sysv udev dbus python3-minimal" >&2
    exit 1
fi
mkdir -p etc/systemd/network etc/systemd/system/multi-user.target.wants
cat >etc/systemd/network/80-testbed.network <<'END'
[Match]
Type=ether

[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
IPv6AcceptRA=yes
END
cat >etc/systemd/system/testbed-shell.service <<'END'
[Unit]
Description=Shell of the testbed's server

[Service]
ExecStart=/bin/sh
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Restart=always
END
for unit in /etc/systemd/system/testbed-shell /lib/systemd/system/systemd-networkd; do
    ln -sf "$unit.service" "etc/systemd/system/multi-user.target.wants/${unit##*/}.service"
done
echo '/dev/vda / ext4 defaults 0 1' >etc/fstab
grep -q '^user:' etc/passwd || chroot . useradd --create-home user
cp "$kernel" ../` + kernelFile + `
cp "boot/initrd.img-${kernel#boot/vmlinuz-}" ../` + initrdFile + `
cd ..
truncate --size=20G ` + diskFile + `
mke2fs -q -t ext4 -E lazy_itable_init=1 -d .root ` + diskFile + `
rm -rf .root
chmod 0644 ` + diskFile + ` ` + kernelFile + ` ` + initrdFile + `
`
