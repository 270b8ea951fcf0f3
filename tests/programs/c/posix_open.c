/* open, creat, close, dup, umask: the text of XSH open() and its relatives, assertion by assertion. */
#include "posix.h"

static void create(void)
{
	struct stat st;
	int fd;

	ERR("open: ENOENT without O_CREAT where there is no file", open("a", O_RDWR), ENOENT);
	OK("open: O_CREAT makes a file", fd = open("a", O_RDWR | O_CREAT, 0666));
	IS("open: the file is regular and empty",
		fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0);
	IS("open: permission bits are the argument without the umask", (st.st_mode & 07777) == 0644);
	IS("open: the link count of a new file is 1", st.st_nlink == 1);
	IS("open: the owner is the effective user", st.st_uid == geteuid());
	IS("open: the three times of a new file are the same",
		posix_same(st.st_atim, st.st_mtim) && posix_same(st.st_mtim, st.st_ctim));
	IS("open: the offset begins at 0", lseek(fd, 0, SEEK_CUR) == 0);
	IS("open: FD_CLOEXEC is clear without O_CLOEXEC", fcntl(fd, F_GETFD) == 0);
	IS("open: the access mode is what was asked for", (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	close(fd);
	ERR("open: EEXIST for O_CREAT|O_EXCL on a file", open("a", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
	umask(0);
	OK("open: O_CREAT|O_EXCL makes a file that is not there",
		fd = open("b", O_RDWR | O_CREAT | O_EXCL, 0777));
	close(fd);
	IS("open: a umask of 0 takes nothing away", posix_mode("b") == 0777);
	umask(0777);
	OK("open: a file whose mode ends up 0 can be written by its creator",
		fd = open("c", O_RDWR | O_CREAT, 0666));
	IS("open: its mode is 0", posix_mode("c") == 0 && write(fd, "x", 1) == 1);
	close(fd);
	umask(022);
	OK("open: mode 0 for the creator", fd = open("d", O_WRONLY | O_CREAT, 0));
	OK("open: O_CREAT on an existing file leaves its mode",
		close(fd) || close(open("b", O_RDWR | O_CREAT, 0600)));
	IS("open: the mode is left", posix_mode("b") == 0777);
	OK("open: O_CLOEXEC", fd = open("a", O_RDONLY | O_CLOEXEC));
	IS("open: FD_CLOEXEC is set by O_CLOEXEC", fcntl(fd, F_GETFD) == FD_CLOEXEC);
	close(fd);
	IS("open: the lowest free descriptor is taken", open("a", O_RDONLY) == fd);
	close(fd);
	OK("creat: makes and truncates", fd = creat("a", 0600));
	ERR("creat: is for writing only", read(fd, &st, 1), EBADF);
	close(fd);
}

static void parent_times(void)
{
	struct stat before, after;

	posix_tick();
	before = posix_lstat(".");
	posix_tick();
	posix_file("t", "text");
	after = posix_lstat(".");
	IS("open: a new file updates the directory's mtime", posix_later(after.st_mtim, before.st_mtim));
	IS("open: a new file updates the directory's ctime", posix_later(after.st_ctim, before.st_ctim));
	posix_tick();
	close(open("t", O_RDWR | O_CREAT, 0644));
	IS("open: an existing file leaves the directory's times",
		posix_same(posix_lstat(".").st_mtim, after.st_mtim) &&
			posix_same(posix_lstat(".").st_ctim, after.st_ctim));
	before = posix_lstat("t");
	posix_tick();
	close(open("t", O_RDWR));
	IS("open: without O_TRUNC a file's mtime stays",
		posix_same(posix_lstat("t").st_mtim, before.st_mtim));
	close(open("t", O_WRONLY | O_TRUNC));
	after = posix_lstat("t");
	IS("open: O_TRUNC empties the file", after.st_size == 0);
	IS("open: O_TRUNC updates mtime and ctime",
		posix_later(after.st_mtim, before.st_mtim) && posix_later(after.st_ctim, before.st_ctim));
	IS("open: O_TRUNC leaves mode and owner",
		after.st_mode == before.st_mode && after.st_uid == before.st_uid);
}

static void kinds(void)
{
	int fd;

	mkdir("dir", 0755);
	OK("open: a directory for reading", fd = open("dir", O_RDONLY));
	ERR("read: EISDIR on a directory", read(fd, (char[4]){0}, 4), EISDIR);
	close(fd);
	ERR("open: EISDIR for writing a directory", open("dir", O_WRONLY), EISDIR);
	ERR("open: EISDIR for reading and writing a directory", open("dir", O_RDWR), EISDIR);
	ERR("open: EISDIR for O_TRUNC of a directory", open("dir", O_RDONLY | O_TRUNC), EISDIR);
	ERR("open: EISDIR for O_CREAT on a directory (Linux)", open("dir", O_RDONLY | O_CREAT, 0644), EISDIR);
	ERR("open: EEXIST for O_CREAT|O_EXCL on a directory", open("dir", O_RDWR | O_CREAT | O_EXCL, 0644),
		EEXIST);
	ERR("open: ENOTDIR for O_DIRECTORY on a file", open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
	OK("open: O_DIRECTORY on a directory", fd = open("dir", O_RDONLY | O_DIRECTORY));
	close(fd);
	ERR("open: ENOTDIR where a component is a file", open("a/x", O_RDONLY), ENOTDIR);
	ERR("open: ENOTDIR where a component is a file, with O_CREAT", open("a/x", O_RDWR | O_CREAT, 0644),
		ENOTDIR);
	ERR("open: ENOTDIR for a file with a slash behind it", open("a/", O_RDONLY), ENOTDIR);
	ERR("open: ENOENT where a component does not exist", open("none/x", O_RDWR | O_CREAT, 0644), ENOENT);
	ERR("open: EISDIR for O_CREAT of a name with a slash behind it (Linux)",
		open("none/", O_RDWR | O_CREAT, 0644), EISDIR);
	ERR("open: ENOENT for an empty path", open("", O_RDONLY), ENOENT);
	OK("open: a slash behind a directory", fd = open("dir/", O_RDONLY));
	close(fd);
	OK("open: repeated slashes are one", fd = open(".//dir///..//a", O_RDONLY));
	close(fd);
}

static void links(void)
{
	int fd;

	symlink("a", "to-a");
	symlink("absent", "to-absent");
	symlink("loop", "loop");
	symlink("one", "two");
	symlink("two", "one");
	symlink("dir", "to-dir");
	OK("open: follows a symlink", fd = open("to-a", O_RDONLY));
	close(fd);
	ERR("open: ENOENT for a dangling symlink", open("to-absent", O_RDWR), ENOENT);
	ERR("open: EEXIST for O_CREAT|O_EXCL on a symlink, dangling too",
		open("to-absent", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	IS("open: and nothing was made", !posix_exists("absent"));
	OK("open: O_CREAT through a dangling symlink makes its target",
		fd = open("to-absent", O_RDWR | O_CREAT, 0644));
	close(fd);
	IS("open: the target is there", posix_exists("absent"));
	ERR("open: ELOOP for a symlink to itself", open("loop", O_RDONLY), ELOOP);
	ERR("open: ELOOP for two symlinks to each other", open("one", O_RDONLY), ELOOP);
	ERR("open: ELOOP for a symlink loop as a component", open("one/x", O_RDONLY), ELOOP);
	ERR("open: ELOOP for O_NOFOLLOW on a symlink", open("to-a", O_RDONLY | O_NOFOLLOW), ELOOP);
	OK("open: O_NOFOLLOW follows in other components", fd = open("to-dir/../a", O_RDONLY | O_NOFOLLOW));
	close(fd);
	ERR("open: ENOTDIR for O_DIRECTORY|O_NOFOLLOW on a symlink to a directory (Linux)",
		open("to-dir", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
	OK("open: O_PATH|O_NOFOLLOW opens a symlink itself (Linux)", fd = open("to-a", O_PATH | O_NOFOLLOW));
	ERR("read: EBADF through O_PATH (Linux)", read(fd, (char[1]){0}, 1), EBADF);
	close(fd);
}

static void lengths(void)
{
	int fd;

	OK("open: a name of NAME_MAX characters", fd = open(posix_name(NAME_MAX), O_RDWR | O_CREAT, 0644));
	close(fd);
	OK("unlink: a name of NAME_MAX characters", unlink(posix_name(NAME_MAX)));
	ERR("open: ENAMETOOLONG for a longer name", open(posix_name(NAME_MAX + 1), O_RDWR | O_CREAT, 0644),
		ENAMETOOLONG);
	ERR("open: ENAMETOOLONG for a longer name that need not exist",
		open(posix_name(NAME_MAX + 1), O_RDONLY), ENAMETOOLONG);
	OK("open: a path of PATH_MAX - 1 characters", fd = open(posix_path(PATH_MAX - 1, "a"), O_RDONLY));
	close(fd);
	ERR("open: ENAMETOOLONG for a longer path", open(posix_path(PATH_MAX, "a"), O_RDONLY), ENAMETOOLONG);
	OK("open: names are bytes", fd = open("\xff\x01 \n\\'\"*", O_RDWR | O_CREAT, 0644));
	close(fd);
	OK("open: and case counts", fd = open("A", O_RDWR | O_CREAT | O_EXCL, 0644));
	close(fd);
}

static void access_modes(void)
{
	char b[8];
	int fd;

	posix_file("m", "mode");
	fd = open("m", O_RDONLY);
	ERR("write: EBADF on a descriptor for reading", write(fd, "x", 1), EBADF);
	ERR("ftruncate: EINVAL on a descriptor for reading (Linux)", ftruncate(fd, 0), EINVAL);
	close(fd);
	ERR("close: EBADF for a closed descriptor", close(fd), EBADF);
	ERR("read: EBADF for a closed descriptor", read(fd, b, 1), EBADF);
	fd = open("m", O_WRONLY);
	ERR("read: EBADF on a descriptor for writing", read(fd, b, 1), EBADF);
	close(fd);
	fd = open("m", O_WRONLY | O_APPEND);
	IS("write: O_APPEND writes at the end whatever the offset",
		lseek(fd, 0, SEEK_SET) == 0 && write(fd, "1", 1) == 1 && posix_holds("m", "mode1"));
	IS("write: O_APPEND sets the offset to the new end", lseek(fd, 0, SEEK_CUR) == 5);
	OK("fcntl: F_SETFL clears O_APPEND", fcntl(fd, F_SETFL, 0));
	IS("write: then the offset counts",
		lseek(fd, 0, SEEK_SET) == 0 && write(fd, "M", 1) == 1 && posix_holds("m", "Mode1"));
	close(fd);
	fd = open("m", O_RDWR | O_TRUNC);
	IS("open: O_RDWR|O_TRUNC gives an empty file for both",
		write(fd, "new", 3) == 3 && pread(fd, b, 8, 0) == 3);
	close(fd);
}

static void duplicates(void)
{
	char b[8];
	int fd = open("m", O_RDWR), two = dup(fd), other = open("m", O_RDWR);

	IS("dup: shares the offset", read(fd, b, 1) == 1 && lseek(two, 0, SEEK_CUR) == 1);
	IS("open: a second open has an offset of its own", lseek(other, 0, SEEK_CUR) == 0);
	OK("fcntl: F_SETFL on a duplicate", fcntl(two, F_SETFL, O_APPEND));
	IS("dup: shares the status flags",
		(fcntl(fd, F_GETFL) & O_APPEND) && !(fcntl(other, F_GETFL) & O_APPEND));
	fcntl(two, F_SETFD, FD_CLOEXEC);
	IS("dup: does not share FD_CLOEXEC", fcntl(fd, F_GETFD) == 0);
	IS("dup2: onto an open descriptor closes that one",
		dup2(fd, other) == other && lseek(other, 0, SEEK_CUR) == 1);
	IS("dup2: onto itself does nothing", dup2(fd, fd) == fd);
	IS("fcntl: F_DUPFD takes the lowest from the argument on", fcntl(fd, F_DUPFD, 100) == 100);
	close(100);
	close(two);
	IS("close: of a duplicate leaves the others", read(fd, b, 1) == 1);
	pid_t pid = fork();
	if (pid == 0)
		_exit(lseek(fd, 3, SEEK_SET) == 3 ? 0 : 1);
	waitpid(pid, NULL, 0);
	IS("fork: the child shares the offset", lseek(fd, 0, SEEK_CUR) == 3);
	close(fd);
	close(other);
}

static void permission(void)
{
	posix_file("p", "text");
	chmod("p", 0600);
	USER_ERR("open: EACCES to read what only the owner may", open("p", O_RDONLY), EACCES);
	chmod("p", 0604);
	USER_OK("open: others may read with S_IROTH", open("p", O_RDONLY));
	USER_ERR("open: EACCES to write without S_IWOTH", open("p", O_WRONLY), EACCES);
	USER_ERR("open: EACCES for O_TRUNC without S_IWOTH", open("p", O_RDONLY | O_TRUNC), EACCES);
	IS("open: and nothing was truncated", posix_holds("p", "text"));
	mkdir("closed", 0700);
	posix_file("closed/f", "text");
	USER_ERR("open: EACCES where a directory may not be searched", open("closed/f", O_RDONLY), EACCES);
	chmod("closed", 0701);
	USER_OK("open: search permission is enough to open what is in it", open("closed/f", O_RDONLY));
	USER_ERR("open: EACCES to list without S_IROTH", open("closed", O_RDONLY), EACCES);
	USER_ERR("open: EACCES to make a file without S_IWOTH of the directory",
		open("closed/g", O_RDWR | O_CREAT, 0644), EACCES);
	chmod("closed", 0777);
	USER_OK("open: makes a file where the directory may be written",
		open("closed/g", O_RDWR | O_CREAT, 0640));
	if (geteuid() == 0) {
		struct stat st = posix_lstat("closed/g");

		IS("open: it belongs to the user and group that made it",
			st.st_uid == ORDINARY && st.st_gid == ORDINARY);
		chown("p", ORDINARY, 0);
	}
	chmod("p", 0077);
	USER_ERR("open: EACCES by the owner's bits though others' would allow", open("p", O_RDONLY), EACCES);
	mkdir("inherit", 0777);
	if (geteuid() == 0) {
		chown("inherit", 0, 12345);
		chmod("inherit", 02777);
		posix_file("inherit/f", "");
		mkdir("inherit/d", 0755);
		IS("open: a directory with S_ISGID gives its group to new files (Linux)",
			posix_lstat("inherit/f").st_gid == 12345);
		IS("mkdir: and group and bit to new directories (Linux)",
			posix_lstat("inherit/d").st_gid == 12345 && (posix_mode("inherit/d") & S_ISGID));
	}
}

static void temporary(void)
{
	struct stat st;
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	OK("open: O_TMPFILE (Linux)", fd);
	IS("open: O_TMPFILE has no name: link count 0 (Linux)", fstat(fd, &st) == 0 && st.st_nlink == 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	IS("open: O_TMPFILE holds what is written (Linux)", write(fd, "tmp", 3) == 3);
	OK("linkat: names an O_TMPFILE (Linux)",
		linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	IS("linkat: the name holds the content (Linux)", posix_holds("named", "tmp"));
	close(fd);
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ERR("linkat: ENOENT for O_TMPFILE|O_EXCL (Linux)",
		linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW), ENOENT);
	close(fd);
}

int main(int argc, char **argv)
{
	posix_begin(argc, argv, "open");
	create();
	parent_times();
	kinds();
	links();
	lengths();
	access_modes();
	duplicates();
	permission();
	temporary();
	return posix_end();
}
