# sh disk.sh ROOT OUTPUT: makes a disk that boots by itself of an unpacked system, as root of namespaces. There are no loop devices in
# there: file system, partition table and boot loader are written as files.
set -eu
PATH=$PATH:/usr/sbin:/sbin
output=$2
work=$(mktemp -d "$(dirname "$output")/disk.XXXXXX")
trap 'rm -rf "$work"' EXIT
chroot "$1" grub-mkimage -O i386-pc -o /boot/core.img -p '(hd0,msdos1)/boot/grub' \
    biosdisk part_msdos ext2 normal linux search search_label test echo configfile boot minicmd
# What is mounted in the system while it is made is not a part of it.
root=$work/root
mkdir "$root" "$root/dev" "$root/proc" "$root/sys"
find "$1" -mindepth 1 -maxdepth 1 ! -name dev ! -name proc ! -name sys -exec cp -ax -t "$root" {} +
printf 'LABEL=cloudimg-rootfs / ext4 defaults 0 1\n' >"$root/etc/fstab"
mkdir -p "$root/boot/grub"
# The links follow the newest kernel, also one that a test installs.
cat >"$root/boot/grub/grub.cfg" <<'END'
search --no-floppy --label cloudimg-rootfs --set=root
set links=
if [ -e /boot/vmlinuz ]; then set links=/boot; fi
linux $links/vmlinuz root=LABEL=cloudimg-rootfs ro console=tty0 console=ttyS0 net.ifnames=0
initrd $links/initrd.img
boot
END
mv "$root/boot/core.img" "$work/core.img"
cp "$root/usr/lib/grub/i386-pc/boot.img" "$work/boot.img"
mebibytes=$(($(du -sm "$root" | cut -f 1) + 1024))
mke2fs -q -t ext4 -L cloudimg-rootfs -O ^metadata_csum_seed -d "$root" "$work/root.ext4" "${mebibytes}M"
truncate --size="$((mebibytes + 1))M" "$work/disk"
printf 'label: dos\nstart=2048, type=83, bootable\n' | sfdisk --quiet "$work/disk"
# The boot sector, the rest of the loader in the gap before the partition, and the partition.
dd if="$work/boot.img" of="$work/disk" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$work/disk" bs=512 seek=1 conv=notrunc status=none
dd if="$work/root.ext4" of="$work/disk" bs=1M seek=1 conv=notrunc,sparse status=none
qemu-img convert -q -O qcow2 -c "$work/disk" "$output"
