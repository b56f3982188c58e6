/* A process of eight threads: "wait" reads standard input until it ends; "leave" does so after its
   first thread has ended; "exec FILE" executes FILE from another thread than the first. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static char **args;

static void *rest(void *unused)
{
	char c;
	while (read(0, &c, 1) > 0)
		;
	_exit(0);
}

static void *replace(void *unused)
{
	execl(args[2], args[2], (char *)0);
	_exit(1);
}

int main(int argc, char **argv)
{
	pthread_t t;
	args = argv;
	for (int i = 0; i < 7; i++)
		pthread_create(&t, 0, rest, 0);
	if (!strcmp(argv[1], "exec"))
		pthread_create(&t, 0, replace, 0);
	if (!strcmp(argv[1], "leave"))
		pthread_exit(0);
	rest(0);
}
