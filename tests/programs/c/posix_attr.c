/* stat, chmod, chown, utimensat, truncate, access, extended attributes: XSH, assertion by assertion. */
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include "posix.h"

static void chmods(void)
{
	struct stat before, after;
	int fd;

	posix_file("f", "text");
	mkdir("d", 0755);
	before = posix_lstat("f");
	posix_tick();
	OK("chmod: a file", chmod("f", 0640));
	after = posix_lstat("f");
	IS("chmod: sets the permission bits", (after.st_mode & 07777) == 0640 && S_ISREG(after.st_mode));
	IS("chmod: updates ctime", posix_later(after.st_ctim, before.st_ctim));
	IS("chmod: leaves mtime and atime",
		posix_same(after.st_mtim, before.st_mtim) && posix_same(after.st_atim, before.st_atim));
	OK("chmod: all bits", chmod("f", 07777));
	IS("chmod: 07777", posix_mode("f") == 07777);
	OK("chmod: a directory", chmod("d", 01700));
	IS("chmod: 01700 of a directory", posix_mode("d") == 01700);
	OK("chmod: nothing", chmod("f", 0));
	IS("chmod: 0", posix_mode("f") == 0);
	fd = open("f", O_RDONLY);
	if (fd < 0) {
		chmod("f", 0400);
		fd = open("f", O_RDONLY);
	}
	OK("fchmod: through a descriptor for reading", fchmod(fd, 0604));
	IS("fchmod: set", posix_mode("f") == 0604);
	close(fd);
	symlink("f", "s");
	OK("chmod: follows a symlink", chmod("s", 0611));
	IS("chmod: the target has it", posix_mode("f") == 0611 && S_ISLNK(posix_lstat("s").st_mode));
	ERR("chmod: ENOENT", chmod("none", 0644), ENOENT);
	ERR("chmod: ENOENT for an empty path", chmod("", 0644), ENOENT);
	ERR("chmod: ENOTDIR", chmod("f/x", 0644), ENOTDIR);
	ERR("chmod: ENAMETOOLONG", chmod(posix_name(NAME_MAX + 1), 0644), ENAMETOOLONG);
	ERR("fchmod: EBADF", fchmod(999, 0644), EBADF);
	USER_ERR("chmod: EPERM for another's file", chmod("f", 0777), EPERM);
	if (geteuid() == 0) {
		posix_file("theirs", "");
		chown("theirs", ORDINARY, 12345);
	}
	USER_OK("chmod: the owner may", chmod("theirs", 0600));
	USER_OK("chmod: the owner asks for S_ISGID of a group that is not theirs", chmod("theirs", 02755));
	if (geteuid() == 0)
		IS("chmod: and it is not set", posix_mode("theirs") == 0755);
}

static void chowns(void)
{
	struct stat before, after;

	if (geteuid() != 0) {
		puts("skip chown: only root can give files away");
		return;
	}
	posix_file("o", "text");
	before = posix_lstat("o");
	posix_tick();
	OK("chown: user and group", chown("o", 1234, 5678));
	after = posix_lstat("o");
	IS("chown: set", after.st_uid == 1234 && after.st_gid == 5678);
	IS("chown: updates ctime", posix_later(after.st_ctim, before.st_ctim));
	IS("chown: leaves mtime", posix_same(after.st_mtim, before.st_mtim));
	OK("chown: -1 leaves the user", chown("o", (uid_t)-1, 77));
	IS("chown: only the group", posix_lstat("o").st_uid == 1234 && posix_lstat("o").st_gid == 77);
	OK("chown: -1 leaves the group", chown("o", 88, (gid_t)-1));
	IS("chown: only the user", posix_lstat("o").st_uid == 88 && posix_lstat("o").st_gid == 77);
	OK("chown: large numbers", chown("o", 4000000000u, 3999999999u));
	IS("chown: are kept",
		posix_lstat("o").st_uid == 4000000000u && posix_lstat("o").st_gid == 3999999999u);
	symlink("o", "so");
	OK("chown: follows a symlink", chown("so", 5, 6));
	IS("chown: the target", posix_lstat("o").st_uid == 5 && posix_lstat("so").st_uid == 0);
	OK("lchown: does not follow", lchown("so", 7, 8));
	IS("lchown: the symlink", posix_lstat("o").st_uid == 5 && posix_lstat("so").st_uid == 7);
	chmod("o", 06755);
	OK("chown: of a file with S_ISUID and S_ISGID", chown("o", 9, 9));
	IS("chown: clears both, by root too (Linux)", posix_mode("o") == 0755);
	ERR("chown: ENOENT", chown("none", 1, 1), ENOENT);
	ERR("chown: ENOTDIR", chown("o/x", 1, 1), ENOTDIR);
	ERR("fchown: EBADF", fchown(999, 1, 1), EBADF);
	USER_ERR("chown: EPERM for another's file", chown("o", ORDINARY, (gid_t)-1), EPERM);
	posix_file("mine", "");
	chown("mine", ORDINARY, 1);
	USER_ERR("chown: EPERM to give a file away", chown("mine", 1, (gid_t)-1), EPERM);
	USER_ERR("chown: EPERM to a group the user is not in", chown("mine", (uid_t)-1, 1234), EPERM);
	USER_OK("chown: to the own group", chown("mine", (uid_t)-1, ORDINARY));
	posix_file("set", "x");
	chown("set", ORDINARY, ORDINARY);
	chmod("set", 06777);
	USER_OK("write: to a file with S_ISUID and S_ISGID by its owner",
		write(open("set", O_WRONLY), "y", 1));
	IS("write: clears both (Linux)", posix_mode("set") == 0777);
}

static void times(void)
{
	struct timespec t[2] = {{1000000000, 123456789}, {2000000000, 987654321}}, before;
	struct stat st;
	int fd;

	posix_file("t", "text");
	before = posix_lstat("t").st_ctim;
	posix_tick();
	OK("utimensat: both", utimensat(AT_FDCWD, "t", t, 0));
	st = posix_lstat("t");
	IS("utimensat: sets atime to the nanosecond", posix_same(st.st_atim, t[0]));
	IS("utimensat: sets mtime to the nanosecond", posix_same(st.st_mtim, t[1]));
	IS("utimensat: updates ctime", posix_later(st.st_ctim, before));
	t[0] = (struct timespec){0, UTIME_OMIT};
	t[1] = (struct timespec){5, 6};
	OK("utimensat: UTIME_OMIT", utimensat(AT_FDCWD, "t", t, 0));
	st = posix_lstat("t");
	IS("utimensat: leaves what is omitted",
		st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec == 5 && st.st_mtim.tv_nsec == 6);
	t[0] = (struct timespec){-86400, 500};
	t[1] = (struct timespec){4102444800, 1};
	OK("utimensat: before 1970 and after 2038", utimensat(AT_FDCWD, "t", t, 0));
	st = posix_lstat("t");
	IS("utimensat: both are kept", posix_same(st.st_atim, t[0]) && posix_same(st.st_mtim, t[1]));
	t[1] = (struct timespec){0, UTIME_NOW};
	OK("utimensat: UTIME_NOW", utimensat(AT_FDCWD, "t", t, 0));
	st = posix_lstat("t");
	IS("utimensat: the present", labs(st.st_mtim.tv_sec - time(NULL)) <= 2);
	OK("utimensat: NULL is the present for both", utimensat(AT_FDCWD, "t", NULL, 0));
	IS("utimensat: and the same for both",
		posix_same(posix_lstat("t").st_atim, posix_lstat("t").st_mtim));
	t[0] = (struct timespec){7, 8};
	t[1] = (struct timespec){9, 10};
	symlink("t", "st");
	OK("utimensat: AT_SYMLINK_NOFOLLOW", utimensat(AT_FDCWD, "st", t, AT_SYMLINK_NOFOLLOW));
	IS("utimensat: the symlink, not its target",
		posix_lstat("st").st_mtim.tv_sec == 9 && posix_lstat("t").st_mtim.tv_sec != 9);
	fd = open("t", O_RDONLY);
	OK("futimens: through a descriptor for reading", futimens(fd, t));
	IS("futimens: set", fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 9 && st.st_mtim.tv_nsec == 10);
	close(fd);
	OK("utimensat: a directory", utimensat(AT_FDCWD, "d", t, 0));
	IS("utimensat: a directory's mtime", posix_lstat("d").st_mtim.tv_sec == 9);
	t[0].tv_nsec = 1000000000;
	ERR("utimensat: EINVAL for 10^9 nanoseconds", utimensat(AT_FDCWD, "t", t, 0), EINVAL);
	t[0].tv_nsec = 0;
	ERR("utimensat: ENOENT", utimensat(AT_FDCWD, "none", t, 0), ENOENT);
	ERR("utimensat: ENOTDIR", utimensat(AT_FDCWD, "t/x", t, 0), ENOTDIR);
	chmod("t", 0666);
	USER_OK("utimensat: who may write may set the present", utimensat(AT_FDCWD, "t", NULL, 0));
	USER_ERR("utimensat: EPERM for other times by another than the owner", utimensat(AT_FDCWD, "t", t, 0),
		EPERM);
	chmod("t", 0644);
	USER_ERR("utimensat: EACCES for the present without write permission",
		utimensat(AT_FDCWD, "t", NULL, 0), EACCES);
	t[0] = t[1] = (struct timespec){0, UTIME_OMIT};
	st = posix_lstat("t");
	posix_tick();
	OK("utimensat: UTIME_OMIT twice", utimensat(AT_FDCWD, "t", t, 0));
	IS("utimensat: changes nothing, ctime neither", posix_same(posix_lstat("t").st_ctim, st.st_ctim));
}

static void marks(void)
{
	struct stat a, b;
	char buf[8];
	int fd;

	posix_file("w", "text");
	a = posix_lstat("w");
	posix_tick();
	fd = open("w", O_RDWR);
	IS("write: succeeds", write(fd, "more", 4) == 4);
	fstat(fd, &b);
	IS("write: updates mtime and ctime",
		posix_later(b.st_mtim, a.st_mtim) && posix_later(b.st_ctim, a.st_ctim));
	posix_tick();
	IS("write: of nothing", write(fd, "", 0) == 0);
	fstat(fd, &a);
	IS("write: of nothing updates nothing", posix_same(a.st_mtim, b.st_mtim));
	posix_tick();
	IS("read: at end of file", read(fd, buf, sizeof(buf)) == 0);
	fstat(fd, &b);
	IS("read: leaves mtime and ctime",
		posix_same(a.st_mtim, b.st_mtim) && posix_same(a.st_ctim, b.st_ctim));
	OK("ftruncate: longer", ftruncate(fd, 100));
	fstat(fd, &b);
	IS("ftruncate: a changed size updates mtime and ctime",
		posix_later(b.st_mtim, a.st_mtim) && posix_later(b.st_ctim, a.st_ctim));
	close(fd);
}

static bool zeros(int fd, off_t at, size_t n)
{
	char b[4096];

	while (n) {
		size_t k = n < sizeof(b) ? n : sizeof(b);

		if (pread(fd, b, k, at) != (ssize_t)k)
			return false;
		for (size_t i = 0; i < k; i++)
			if (b[i])
				return false;
		at += (off_t)k;
		n -= k;
	}
	return true;
}

static void truncates(void)
{
	struct stat st;
	char b[8];
	int fd;

	posix_file("r", "0123456789");
	OK("truncate: shorter", truncate("r", 4));
	IS("truncate: the rest is gone", posix_holds("r", "0123"));
	OK("truncate: longer", truncate("r", 20000));
	fd = open("r", O_RDWR);
	IS("truncate: what is new reads as zeros, not as what was there",
		zeros(fd, 4, 19996) && pread(fd, b, 4, 0) == 4 && !memcmp(b, "0123", 4));
	IS("ftruncate: leaves the offset", lseek(fd, 9000, SEEK_SET) == 9000 && ftruncate(fd, 10) == 0 &&
						   lseek(fd, 0, SEEK_CUR) == 9000);
	IS("read: behind the end gives nothing", read(fd, b, 8) == 0);
	IS("write: behind the end leaves zeros between",
		write(fd, "x", 1) == 1 && zeros(fd, 10, 8990) && fstat(fd, &st) == 0 && st.st_size == 9001);
	OK("ftruncate: to nothing", ftruncate(fd, 0));
	IS("ftruncate: size 0", fstat(fd, &st) == 0 && st.st_size == 0);
	OK("ftruncate: to a terabyte", ftruncate(fd, (off_t)1 << 40));
	IS("ftruncate: takes no space",
		fstat(fd, &st) == 0 && st.st_size == (off_t)1 << 40 && st.st_blocks < 1000);
	IS("read: zeros in the middle of it", zeros(fd, (off_t)1 << 39, 4096));
	ERR("ftruncate: EINVAL for a negative length", ftruncate(fd, -1), EINVAL);
	OK("ftruncate: back to nothing", ftruncate(fd, 0));
	close(fd);
	ERR("truncate: ENOENT", truncate("none", 0), ENOENT);
	ERR("truncate: ENOTDIR", truncate("r/x", 0), ENOTDIR);
	ERR("truncate: EISDIR", truncate("d", 0), EISDIR);
	ERR("truncate: EINVAL for a negative length", truncate("r", -1), EINVAL);
	ERR("truncate: ENAMETOOLONG", truncate(posix_name(NAME_MAX + 1), 0), ENAMETOOLONG);
	chmod("r", 0644);
	USER_ERR("truncate: EACCES without write permission", truncate("r", 0), EACCES);
	symlink("r", "sr");
	OK("truncate: follows a symlink", truncate("sr", 3));
	IS("truncate: its target", posix_lstat("r").st_size == 3);
}

static void accesses(void)
{
	struct statvfs v;

	posix_file("acc", "");
	OK("access: F_OK", access("acc", F_OK));
	ERR("access: ENOENT", access("none", F_OK), ENOENT);
	ERR("access: ENOTDIR", access("acc/x", F_OK), ENOTDIR);
	chmod("acc", 0640);
	USER_ERR("access: EACCES for R_OK", access("acc", R_OK), EACCES);
	USER_OK("access: F_OK of what may not be read", access("acc", F_OK));
	ERR("access: EACCES for X_OK of a file without any x bit, for root too", access("acc", X_OK), EACCES);
	ERR("access: EINVAL for an unknown mode", access("acc", 8), EINVAL);
	OK("statvfs", statvfs(".", &v));
	IS("statvfs: NAME_MAX is 255", v.f_namemax == 255);
	IS("statvfs: blocks and files are counted",
		v.f_blocks >= v.f_bfree && v.f_bfree >= v.f_bavail && v.f_frsize > 0);
}

static void xattrs(void)
{
	char b[1024], list[256];
	int fd = open("acc", O_RDWR);

	if (setxattr("acc", "user.one", "value", 5, XATTR_CREATE) && errno == EOPNOTSUPP) {
		puts("skip setxattr: this file system has no attributes of users");
		close(fd);
		return;
	}
	IS("getxattr: gives the value (Linux)",
		getxattr("acc", "user.one", b, sizeof(b)) == 5 && !memcmp(b, "value", 5));
	IS("getxattr: size 0 asks for the length (Linux)", getxattr("acc", "user.one", NULL, 0) == 5);
	ERR("getxattr: ERANGE for a short buffer (Linux)", getxattr("acc", "user.one", b, 2), ERANGE);
	ERR("getxattr: ENODATA (Linux)", getxattr("acc", "user.none", b, sizeof(b)), ENODATA);
	ERR("setxattr: EEXIST for XATTR_CREATE (Linux)", setxattr("acc", "user.one", "x", 1, XATTR_CREATE),
		EEXIST);
	ERR("setxattr: ENODATA for XATTR_REPLACE (Linux)", setxattr("acc", "user.two", "x", 1, XATTR_REPLACE),
		ENODATA);
	OK("setxattr: replaces (Linux)", setxattr("acc", "user.one", "longer value", 12, 0));
	OK("setxattr: an empty value (Linux)", setxattr("acc", "user.empty", "", 0, 0));
	IS("getxattr: an empty value (Linux)", getxattr("acc", "user.empty", b, sizeof(b)) == 0);
	memset(b, 'v', sizeof(b));
	OK("fsetxattr: a kilobyte (Linux)", fsetxattr(fd, "user.big", b, sizeof(b), 0));
	ssize_t n = flistxattr(fd, list, sizeof(list));
	unsigned seen = 0;
	for (char *p = list; n > 0 && p < list + n; p += strlen(p) + 1)
		seen |= (strcmp(p, "user.one") ? 0 : 1) + (strcmp(p, "user.empty") ? 0 : 2) +
			(strcmp(p, "user.big") ? 0 : 4);
	IS("listxattr: lists all names (Linux)", seen == 7);
	OK("removexattr (Linux)", removexattr("acc", "user.one"));
	ERR("removexattr: ENODATA for what is gone (Linux)", removexattr("acc", "user.one"), ENODATA);
	ERR("setxattr: EOPNOTSUPP for an unknown namespace (Linux)", setxattr("acc", "unknown.x", "x", 1, 0),
		EOPNOTSUPP);
	ERR("setxattr: ERANGE for a name over 255 bytes (Linux)", setxattr("acc", posix_name(256), "x", 1, 0),
		ERANGE);
	OK("setxattr: of a directory (Linux)", setxattr("d", "user.d", "x", 1, 0));
	symlink("acc", "sacc");
	ERR("lsetxattr: EPERM for user.* of a symlink (Linux)", lsetxattr("sacc", "user.x", "x", 1, 0),
		EPERM);
	USER_ERR("getxattr: EACCES without read permission (Linux)",
		getxattr("acc", "user.big", (char[4]){0}, 0), EACCES);
	chmod("acc", 0644);
	USER_ERR("setxattr: EACCES without write permission (Linux)", setxattr("acc", "user.y", "x", 1, 0),
		EACCES);
	close(fd);
}

int main(int argc, char **argv)
{
	posix_begin(argc, argv, "attr");
	chmods();
	chowns();
	times();
	marks();
	truncates();
	accesses();
	xattrs();
	return posix_end();
}
