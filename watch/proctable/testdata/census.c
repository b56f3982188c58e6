// The census as plainly as C can say it, for BenchmarkCensus to compare with: list /proc, stat each
// process's executable. Usage: census N. Prints the nanoseconds of processor time that one of N
// censuses took.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct entry {
	unsigned long long ino;
	long long off;
	unsigned short len;
	unsigned char type;
	char name[];
};

int main(int argc, char **argv)
{
	static char buf[64 << 10];
	long n = argc > 1 ? atol(argv[1]) : 1, got;
	int proc = open("/proc", O_RDONLY | O_DIRECTORY);
	struct timespec begin, end;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	for (long i = 0; i < n; i++) {
		lseek(proc, 0, SEEK_SET);
		while ((got = syscall(SYS_getdents64, proc, buf, sizeof buf)) > 0) {
			for (char *p = buf; p < buf + got; p += ((struct entry *)p)->len) {
				const char *name = ((struct entry *)p)->name;
				char path[300];
				struct stat st;
				if (name[0] < '0' || name[0] > '9')
					continue;
				strcpy(stpcpy(path, name), "/exe");
				fstatat(proc, path, &st, 0);
			}
		}
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	printf("%.0f\n", ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / n);
	return 0;
}
